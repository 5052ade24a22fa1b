"""Listening sockets, with errors that say who has the port and what to do."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from hubwright.errors import MachineError


def listen(host: str, port: int, *, backlog: int = 4096) -> socket.socket:
    """Return a socket that listens on `host` and `port` (0: any free one); `MachineError` says why it cannot."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise MachineError(
            f'"{host}" is not an address of this machine: {error.strerror}.', remedy="Change hub.listen."
        ) from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise _explain(host, port, error) from error
    return listener


def holder(port: int) -> str:
    """Return who listens on a TCP port, as `pid 123 (python3)`, or "" when that cannot be seen."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").iterdir() if inodes else ():
        if not folder.name.isdecimal():
            continue
        try:
            if any(_link(entry) in inodes for entry in (folder / "fd").iterdir()):
                return f"pid {folder.name} ({(folder / 'comm').read_text().strip()})"
        except OSError:
            continue
    return ""


def _explain(host: str, port: int, error: OSError) -> MachineError:
    match error.errno:
        case errno.EADDRINUSE:
            who = holder(port)
            return MachineError(
                f"Port {port} is taken by {who}." if who else f"Port {port} is taken by another program.",
                remedy="Stop it, or choose another port: hub.listen in hub.yaml.",
            )
        case errno.EACCES if port < 1024 and os.geteuid() != 0:
            return MachineError(
                f"Only root may listen on port {port}.",
                remedy="Start it as root, or choose a port from 1024 on: hub.listen in hub.yaml.",
            )
        case errno.EADDRNOTAVAIL:
            return MachineError(f"{host} is not an address of this machine.", remedy="Change hub.listen in hub.yaml.")
        case _:
            return MachineError(f"Cannot listen on {host}, port {port}: {error.strerror}.")


def _listening_inodes(port: int) -> set[str]:
    """Names of the listening sockets of a port, as /proc/<pid>/fd shows them (proc_pid_net(5): state 0A is LISTEN)."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
