"""Become an IPython kernel in a forked process, as `python -m ipykernel_launcher -f FILE` would after its imports."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from ipykernel import ipkernel
from ipykernel.debugger import Debugger
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core import shellapp
from setproctitle import setproctitle
from traitlets import Type
from zmq import PULL, PUSH, XPUB, XPUB_VERBOSE, Context  # type: ignore[attr-defined]
from zmq.eventloop.zmqstream import ZMQStream

from hubwright.engines.local import launch, logs, preload, settings


class PrivateIOPubThread(IOPubThread):
    """An IOPubThread whose way in for forked children is a Unix socket beside the kernel's others.

    ipykernel 7 binds it to a port of 127.0.0.1, which every user of the machine can connect to. Both methods are
    private there, and a test pins them.
    """

    pipe_path = ""

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        pipe_in = self.socket.context.socket(PULL)
        pipe_in.linger = 0
        pipe_in.bind(f"ipc://{self.pipe_path}")
        self._pipe_port = 0
        self._pipe_in = ZMQStream(pipe_in, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self) -> tuple[Any, Any]:
        context: Any = Context()
        pipe_out = context.socket(PUSH)
        pipe_out.linger = 3000  # a child's last words are sent before it leaves
        pipe_out.connect(f"ipc://{self.pipe_path}")
        return context, pipe_out


_ANEW = ("jupyterlab.labapp", "send2trash", "send2trash.exceptions", "send2trash.plat_other", "send2trash.util")
"""Imported for servers, computed from the home; a kernel imports them again when it wants them."""
MODULE_FILES: list[str] = []
"""The files of all modules that were imported before the fork, which the debugger need not show."""

MODULE_NAMES: set[str] = set()
"""The names of all modules that `%reset` is to leave: what was imported before the first cell."""


def prepare() -> None:
    """Look at the imported modules; once, in the fork server, after the last import."""
    MODULE_FILES[:] = [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    MODULE_NAMES.update(sys.modules)
    settings.prepare(ForkedKernelApp)
    logs.prepare(ForkedKernelApp)


class _WithoutModules:
    """`sys` as it is, but with no modules to look at."""

    def __init__(self) -> None:
        self.__dict__["modules"] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(sys, name, value)


class ForkedDebugger(Debugger):
    """The debugger, told at its start which files are not the user's."""

    async def attach(self, message: dict[str, Any]) -> Any:
        """Attach, as the debugger does."""
        self.kernel_modules = MODULE_FILES
        return await super().attach(message)


class ForkedIPythonKernel(IPythonKernel):
    """IPython's kernel, which leaves the modules that it shares with all other kernels alone.

    ipykernel 7 asks each one for its file, in case a debugger is started. That counts references in 2,700 pages, each
    of which is copied for it: 11 MB, and a sixth of the processor time of a kernel's start.
    """

    debugger_class = Type(ForkedDebugger)

    def __init__(self, **kwargs: Any) -> None:
        ipkernel.sys = _WithoutModules()
        try:
            super().__init__(**kwargs)
        finally:
            ipkernel.sys = sys


class ForkedKernelApp(IPKernelApp):
    """The kernel application, without a TCP port."""

    kernel_class = Type(ForkedIPythonKernel, klass="ipykernel.kernelbase.Kernel").tag(config=True)

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Take the settings of a command line, which is `-f FILE` as a rule."""
        words = sys.argv[1:] if argv is None else argv
        if len(words) == 2 and words[0] == "-f":
            words = [f"--{type(self).__name__}.connection_file={words[1]}"]
        if not settings.parse(self, words):
            super().parse_command_line(argv)

    def init_code(self) -> None:
        """Run what is to run before the first cell, and note which modules there are without touching their names.

        IPython 9 notes them in a set of its own, which counts a reference in each name: 3 MB of copied pages.
        """
        shellapp.sys = _WithoutModules()
        try:
            super().init_code()
        finally:
            shellapp.sys = sys
        MODULE_NAMES.update(itertools.takewhile(lambda name: name not in MODULE_NAMES, reversed(sys.modules)))
        self.shell._sys_modules_keys = MODULE_NAMES

    def init_iopub(self, context: Any) -> None:
        """Bind the output channel, and the way in for forked children beside it."""
        self.iopub_socket = context.socket(XPUB)
        self.iopub_socket.linger = 1000
        self.iopub_socket.setsockopt(XPUB_VERBOSE, 1)  # welcome every subscriber, not the first alone
        self._apply_curve_server_options(self.iopub_socket)
        self.iopub_port: int = self._bind_socket(self.iopub_socket, self.iopub_port)
        self.configure_tornado_logger()
        PrivateIOPubThread.pipe_path = f"{self.ip}-pipe"
        Path(PrivateIOPubThread.pipe_path).unlink(missing_ok=True)
        self.iopub_thread = PrivateIOPubThread(self.iopub_socket, pipe=True, session=self.session)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket


def run(request: bytes, cpus: int) -> None:
    """Serve a kernel until it is shut down; for a process with nothing but imports in it.

    Args:
        request: its connection file, environment and folder, as the provisioner tells them.
        cpus: how many threads a BLAS library may have.
    """
    words = json.loads(request)
    connection_file, env, folder = words["file"], words["env"], words["folder"]
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    launch.default_signals(launch.HANDLED)
    launch.replace_environment({**preload.KERNEL_ENVIRONMENT, **env})
    os.chdir(folder)
    Path("/proc/self/oom_score_adj").write_text(str(launch.kernel_oom()))
    preload.renew()
    for name in _ANEW:
        sys.modules.pop(name, None)
    preload.thaw_home()
    preload.restore_blas(cpus)

    import ipykernel_launcher

    sys.argv = [str(ipykernel_launcher.__file__), "-f", connection_file]
    user, server = env.get("JUPYTERHUB_USER", ""), env.get("JUPYTERHUB_SERVER_NAME", "")
    setproctitle(f"kernel {user}/{server} {Path(connection_file).stem.removeprefix('kernel-')}")
    ForkedKernelApp.launch_instance()
