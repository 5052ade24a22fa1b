"""Listening sockets of another process, taken over while it runs."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

from hubwright.machine.process import Process

Address = tuple[str, int] | str
"""Host and port of a TCP socket, or the path of a Unix socket."""
_PIDFD_GETFD = 438  # the same number on every architecture (pidfd_getfd(2)); Linux 5.6


def listeners_of(process: Process) -> dict[Address, socket.socket]:
    """Return copies of the sockets that `process` listens on, by address; empty when it may not be done.

    Needs the right to trace the process (root; an ordinary user only where Yama's ptrace_scope is 0).
    """
    found: dict[Address, socket.socket] = {}
    with process.descriptor() as pidfd:
        if pidfd is None:
            return found
        try:
            numbers = [int(entry.name) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
        except OSError:
            return found
        libc = ctypes.CDLL(None, use_errno=True)
        for number in sorted(numbers):
            copy = libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
            if copy < 0:
                continue
            os.set_inheritable(copy, False)
            listener = _as_listener(copy)
            if listener is None:
                continue
            name = listener.getsockname()
            address: Address = name if isinstance(name, str) else tuple(name[:2])
            if address in found:
                listener.close()
            else:
                found[address] = listener
    return found


def _as_listener(descriptor: int) -> socket.socket | None:
    """Wrap a descriptor when it is a listening stream socket of TCP or with a path, close it otherwise."""
    try:
        candidate = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    known = candidate.family in {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}
    stream = known and candidate.type == socket.SOCK_STREAM
    if stream and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return candidate
    candidate.close()
    return None
