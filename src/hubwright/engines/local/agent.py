"""The kernel agent: beside each server, a process of the same user with one thread that forks its kernels.

It speaks with its server over an inherited socket pair only, one packet a message. When the server is gone it ends
its kernels and itself; when it dies itself, its kernels live on.

It is forked before anything is known of the server, and does nothing in Python that it can leave to others: what it
writes to, it has copies of. It takes no request apart (the kernel does), and answers in numbers.
"""

from __future__ import annotations

import marshal
import os
import pwd
import select
import signal
import socket
import time
from dataclasses import dataclass
from typing import NamedTuple

from setproctitle import setproctitle

from hubwright.engines.local import launch
from hubwright.machine import namespaces

PACKET = 128 * 1024
"""Bytes a message may have; a kernel whose environment is larger is executed instead."""
_GRACE = 2.0


class Agent:
    """Forks kernels for one server until that server is gone."""

    def __init__(self, channel: socket.socket, cpus: int) -> None:
        self.channel = channel
        self.cpus = cpus
        self.kernels: dict[int, int] = {}
        """pidfd -> pid of each kernel that runs."""
        self.ready = select.poll()
        self.ready.register(channel, select.POLLIN)

    def serve(self) -> None:
        """Answer until the server's end of the pair is closed."""
        while True:
            for descriptor, _ in self.ready.poll():
                if descriptor != self.channel.fileno():
                    self._ended(descriptor)
                elif packet := self._read():
                    self._start(packet)
                else:
                    self._end_all()
                    return

    def _read(self) -> bytes:
        try:
            return self.channel.recv(PACKET)
        except ConnectionResetError:
            return b""

    def _start(self, packet: bytes) -> None:
        number, _, request = packet.partition(b" ")
        try:
            pid = os.fork()
        except OSError as error:  # the user's processes are at their limit
            self._say(b"failed %s %d" % (number, error.errno or 0))
            return
        if pid == 0:
            self._be_kernel(request)
        pidfd = os.pidfd_open(pid)
        self.kernels[pidfd] = pid
        self.ready.register(pidfd, select.POLLIN)
        self._say(b"started %s %d" % (number, pid))

    def _be_kernel(self, request: bytes) -> None:
        from hubwright.engines.local import kernel, kernel_app

        with kernel_app.leaving():
            for pidfd in self.kernels:
                os.close(pidfd)
            kernel.run(request, self.cpus, self.channel)

    def _ended(self, pidfd: int) -> None:
        pid = self.kernels.pop(pidfd)
        self.ready.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._say(b"ended %d %d" % (pid, os.waitstatus_to_exitcode(status)))

    def _say(self, message: bytes) -> None:
        try:
            self.channel.send(message)
        except OSError:
            pass  # the server is gone: the next read says so

    def _end_all(self) -> None:
        self.ready.unregister(self.channel)
        for number, grace in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 1.0)):
            for pid in self.kernels.values():
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + grace
            while self.kernels and time.monotonic() < deadline:
                for descriptor, _ in self.ready.poll(100):
                    self._ended(descriptor)


class Place(NamedTuple):
    """What an agent must know of its server; none of it is secret."""

    account: tuple[str | int, ...]
    """The user's entry in the table of accounts, as `pwd.struct_passwd` takes it."""
    groups: list[int]
    title: str
    cpus: int
    """How many threads a kernel's BLAS library may have."""
    privileged: bool
    umask: int = 0o022


@dataclass(frozen=True)
class Forked:
    """An agent, as its server has it."""

    pid: int
    channel: socket.socket

    def settle(self, place: Place, output: int, namespace: int | None = None) -> None:
        """Have the agent become the user's; before this process does, so that it hears this from root alone.

        It and its kernels print to the descriptor `output`. With `namespace`, a descriptor that is closed here, they
        see the mounts of that one. An agent that has died meanwhile is no error: the server executes its kernels then.
        """
        handed = [output] if namespace is None else [output, namespace]
        try:
            socket.send_fds(self.channel, [marshal.dumps(tuple(place))], handed)
        except OSError:
            pass
        if namespace is not None:
            os.close(namespace)


def fork(close: list[int]) -> Forked:
    """Fork the agent of a server of which nothing is known yet; `close` are descriptors that it must not keep."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if pid := os.fork():
        theirs.close()
        return Forked(pid, ours)
    try:
        ours.close()
        for descriptor in close:
            os.close(descriptor)
        packet, handed, _, _ = socket.recv_fds(theirs, PACKET, 2)
        for namespace in handed[1:]:
            _join(namespace)
        if packet:  # none when the start was refused
            _serve(theirs, Place(*marshal.loads(packet)), handed[0])  # noqa: S302 (root wrote it)
    finally:
        os._exit(0)


def _join(namespace: int) -> None:
    namespaces.enter(namespace, namespaces.MOUNTS)
    os.close(namespace)


def _serve(channel: socket.socket, place: Place, output: int) -> None:
    account = pwd.struct_passwd(place.account)
    launch.become(account, place.groups, {}, output, privileged=place.privileged, umask=place.umask)
    setproctitle(place.title)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Agent(channel, place.cpus).serve()
