"""What a zygote does: import, then fork a kernel for whomever its keeper names, and tell that one's server of its end.

It has one thread, no network, and may write nowhere. It never reads what a server wants of a kernel, which is secret:
the child does that, when it is the user's.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hubwright.engines.local import kernel_app, preload
from hubwright.engines.local.zygotes import becoming, terms
from hubwright.errors import MachineError
from hubwright.machine import capabilities

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Wanted:
    """What a zygote is told when it is started; `ps` shows it."""

    modules: list[str]
    where: str
    """What of hub.yaml names them."""
    shared: str
    """The folder of the environment's packages."""
    launch: str
    """The script that executes a kernel of this version."""
    threadpoolctl: str
    """The file of a module that gives BLAS libraries their threads, where the environment has none."""


def connect() -> socket.socket:
    """Return the pair to the keeper, and end with it."""
    capabilities.have(terms.POWERS, effective=False)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return socket.socket(fileno=terms.CHANNEL)


def load(wanted: Wanted, channel: socket.socket, then: Callable[[], None]) -> Any:
    """Import what kernels need and what is wanted, and tell the keeper; return `threadpoolctl`.

    `SystemExit` when it cannot be.

    Args:
        wanted: what.
        channel: the pair to the keeper.
        then: called after the last import.
    """
    try:
        preload.load([name for name in preload.KERNEL if _is_there(name)], wanted.where)
        preload.load(wanted.modules, wanted.where)
        preload.KERNEL_ENVIRONMENT.update(_added())
        if kernel_app.SUITS:
            kernel_app.prepare()
        then()
        lent = _borrow("threadpoolctl", wanted.threadpoolctl)
        os.environ.clear()
        preload.settle()
    except MachineError as error:
        channel.send(terms.FAILED + str(error).encode()[:4000])
        sys.exit(1)
    channel.send(terms.READY)
    return lent


def _added() -> dict[str, str]:
    """Return what imports added to the environment; an executed kernel has it too."""
    before = {word.partition(b"=")[0] for word in Path("/proc/self/environ").read_bytes().split(b"\0")}
    return {name: value for name, value in os.environ.items() if os.fsencode(name) not in before}


def _borrow(name: str, file: str) -> Any:
    """Return a module of a file that no import finds, or the environment's own where that is imported already."""
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise MachineError("is no module.", where=file)
    module = module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    del sys.modules[name]
    return module


def _is_there(name: str) -> bool:
    if name.startswith("hubwright."):
        return False
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


class Zygote:
    """Forks kernels until its keeper is gone, or it was told to retire and the last one has ended."""

    def __init__(self, channel: socket.socket, wanted: Wanted, threadpoolctl: Any) -> None:
        self.channel = channel
        self.wanted = wanted
        self.threadpoolctl = threadpoolctl
        self.kernels: dict[int, tuple[int, socket.socket]] = {}
        """pidfd -> pid, and the connection of the server that asked."""
        self.retiring = False
        self.ready = select.poll()
        self.ready.register(channel, select.POLLIN)

    def serve(self) -> None:
        """Do what the keeper says."""
        while self.kernels or not self.retiring:
            for descriptor, _ in self.ready.poll():
                if descriptor != self.channel.fileno():
                    self._ended(descriptor)
                else:
                    self._read()

    def _read(self) -> None:
        packet, descriptors, _, _ = socket.recv_fds(self.channel, 64, terms.DESCRIPTORS)
        if packet == terms.FORK and len(descriptors) == terms.DESCRIPTORS:
            self._fork(descriptors)
        elif packet == terms.RETIRE:
            self.retiring = True
            self.ready.unregister(self.channel)
        else:  # the keeper is gone; kernels live on
            sys.exit(0)

    def _fork(self, descriptors: list[int]) -> None:
        parent, server, *namespaces = descriptors
        if preload.threads() != 1:
            sys.exit("The zygote has more than one thread; a fork would not be safe.")
        try:
            pid = os.fork()
        except OSError as error:
            sys.stderr.write(f"no kernel could be forked: {error.strerror}\n")
            pid = -1
        if pid == 0:
            with kernel_app.leaving():
                self.channel.close()
                for pidfd, (_, connection) in self.kernels.items():
                    os.close(pidfd)
                    connection.close()
                ends = socket.socket(fileno=parent), socket.socket(fileno=server)
                becoming.run(*ends, namespaces, self.wanted, self.threadpoolctl)
        for descriptor in (parent, *namespaces):
            os.close(descriptor)
        connection = socket.socket(fileno=server)
        if pid == -1:
            connection.close()
            return
        pidfd = os.pidfd_open(pid)
        self.kernels[pidfd] = (pid, connection)
        self.ready.register(pidfd, select.POLLIN)

    def _ended(self, pidfd: int) -> None:
        pid, connection = self.kernels.pop(pidfd)
        self.ready.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        with connection:
            try:
                connection.send(json.dumps({"ended": code}).encode(), socket.MSG_DONTWAIT)
            except OSError:
                pass  # nobody waits for it
