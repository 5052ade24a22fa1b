"""Become an IPython kernel in a forked process, as `python -m ipykernel_launcher -f FILE` would after its imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ipykernel.iostream import IOPubThread
from ipykernel.kernelapp import IPKernelApp
from setproctitle import setproctitle
from zmq import PULL, PUSH, XPUB, Context  # type: ignore[attr-defined]
from zmq.eventloop.zmqstream import ZMQStream

from hubwright.engines.local import launch, preload


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


class ForkedKernelApp(IPKernelApp):
    """The kernel application, without a TCP port."""

    def init_iopub(self, context: Any) -> None:
        """Bind the output channel, and the way in for forked children beside it."""
        self.iopub_socket = context.socket(XPUB)
        self.iopub_socket.linger = 1000
        self._apply_curve_server_options(self.iopub_socket)
        self.iopub_port: int = self._bind_socket(self.iopub_socket, self.iopub_port)
        self.configure_tornado_logger()
        PrivateIOPubThread.pipe_path = f"{self.ip}-pipe"
        Path(PrivateIOPubThread.pipe_path).unlink(missing_ok=True)
        self.iopub_thread = PrivateIOPubThread(self.iopub_socket, pipe=True, session=self.session)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket


def run(connection_file: str, env: dict[str, str], folder: str, cpus: int) -> None:
    """Serve the kernel of `connection_file` until it is shut down; for a process with nothing but imports in it."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    launch.default_signals()
    launch.replace_environment({**preload.KERNEL_ENVIRONMENT, **env})
    os.chdir(folder)
    Path("/proc/self/oom_score_adj").write_text(str(launch.KERNEL_OOM))
    preload.renew()
    preload.thaw_home()
    preload.restore_blas(cpus)

    import ipykernel_launcher

    sys.argv = [str(ipykernel_launcher.__file__), "-f", connection_file]
    user, server = env.get("JUPYTERHUB_USER", ""), env.get("JUPYTERHUB_SERVER_NAME", "")
    setproctitle(f"kernel {user}/{server} {Path(connection_file).stem.removeprefix('kernel-')}")
    ForkedKernelApp.launch_instance()
