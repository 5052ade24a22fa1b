"""IPython's kernel application as a forked process runs it: without a TCP port, and without walking over all modules.

It imports nothing but what any environment with ipykernel 7 has: fork servers of shared environments use it, too.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipykernel import ipkernel
from ipykernel.debugger import Debugger
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core import shellapp
from traitlets import Type
from zmq import PULL, PUSH, XPUB, XPUB_VERBOSE, Context  # type: ignore[attr-defined]
from zmq.eventloop.zmqstream import ZMQStream

from hubwright.engines.local import logs, settings


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


MODULE_FILES: list[str] = []
"""The files of all modules that were imported before the fork, which the debugger need not show."""

MODULE_NAMES: set[str] = set()
"""The names of all modules that `%reset` is to leave: what was imported before the first cell."""


SUITS = hasattr(IPKernelApp, "_apply_curve_server_options")
"""Whether this is the ipykernel that `ForkedKernelApp` is for; an environment may have an older one."""


def prepare() -> None:
    """Look at the imported modules; once, in the process that is forked, after the last import."""
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

    @contextmanager
    def _cancel_on_sigint(self, future: Any) -> Iterator[None]:
        """Cancel a cell that awaits when it is interrupted, as ipykernel means to.

        Its handler leaves the cancelling to the event loop but does not wake it, so nothing happens until what the cell
        awaits has come. The method is private there, and a test pins it.
        """
        with super()._cancel_on_sigint(future):
            theirs: Any = signal.getsignal(signal.SIGINT)

            def handle(number: int, frame: Any) -> None:
                theirs(number, frame)
                self.io_loop.asyncio_loop.call_soon_threadsafe(lambda: None)

            signal.signal(signal.SIGINT, handle)
            yield  # and theirs puts back what was there before


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

    def close(self) -> None:
        """Close all, and remove the way in for forked children, which nobody else knows of; not in such a child."""
        if isinstance(self.iopub_thread, PrivateIOPubThread) and self.iopub_thread._is_master_process():
            Path(PrivateIOPubThread.pipe_path).unlink(missing_ok=True)
        super().close()


def application() -> type[IPKernelApp]:
    """Return what a forked process launches: ours, or an older ipykernel's own."""
    return ForkedKernelApp if SUITS else IPKernelApp


@contextmanager
def leaving() -> Iterator[None]:
    """End this process with what is run in it, as an interpreter would end; nothing of what called it goes on."""
    code = 1
    try:
        yield
        code = 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    finally:
        _flush_and_leave(code)


def _flush_and_leave(code: int) -> None:
    """Leave as an interpreter would: threads and exit handlers had their turn, buffers are written."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
