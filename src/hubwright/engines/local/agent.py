"""The kernel agent: beside each server, a process of the same user with one thread that forks its kernels.

It speaks with its server over an inherited socket pair only, one packet a message. When the server is gone it ends
its kernels and itself; when it dies itself, its kernels live on.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import time
from typing import Any

from hubwright.machine.process import Process

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
        self.selector = selectors.DefaultSelector()
        self.selector.register(channel, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer until the server's end of the pair is closed."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is not self.channel:
                    self._ended(key.fd)
                elif packet := self._read():
                    self._start(json.loads(packet))
                else:
                    self._end_all()
                    return

    def _read(self) -> bytes:
        try:
            return self.channel.recv(PACKET)
        except ConnectionResetError:
            return b""

    def _start(self, request: dict[str, Any]) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # the user's processes are at their limit
            self._say({"id": request["id"], "pid": 0, "error": str(error.strerror)})
            return
        if pid == 0:
            self._be_kernel(request)
        pidfd = os.pidfd_open(pid)
        self.kernels[pidfd] = pid
        self.selector.register(pidfd, selectors.EVENT_READ)
        started = Process.of(pid)
        self._say({"id": request["id"], "pid": pid, "started": started.started if started else 0})

    def _be_kernel(self, request: dict[str, Any]) -> None:
        code = 1
        try:
            self.selector.close()
            self.channel.close()
            for pidfd in self.kernels:
                os.close(pidfd)
            from hubwright.engines.local import kernel

            kernel.run(request["file"], request["env"], request["folder"], self.cpus)
            code = 0
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        finally:
            _flush_and_leave(code)

    def _ended(self, pidfd: int) -> None:
        pid = self.kernels.pop(pidfd)
        self.selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self.channel.send(json.dumps(message).encode())
        except OSError:
            pass  # the server is gone: the next read says so

    def _end_all(self) -> None:
        for number, grace in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 1.0)):
            for pid in self.kernels.values():
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + grace
            while self.kernels and time.monotonic() < deadline:
                for key, _ in self.selector.select(0.1):
                    if key.fileobj is not self.channel:
                        self._ended(key.fd)
                if self.selector.get_map().get(self.channel.fileno()):
                    self.selector.unregister(self.channel)


def _flush_and_leave(code: int) -> None:
    """Leave as an interpreter would: threads and exit handlers had their turn, buffers are written."""
    import atexit
    import sys
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def fork(user: str, server: str, cpus: int, close: list[int]) -> socket.socket:
    """Fork the agent of a server and return the server's end of the pair; `close` are descriptors it must not keep."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        return ours
    try:
        ours.close()
        for descriptor in close:
            os.close(descriptor)
        from setproctitle import setproctitle

        setproctitle(f"kernel-agent {user}/{server}")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Agent(theirs, cpus).serve()
    finally:
        os._exit(0)
