"""Listening sockets, with errors that say who has the port and what to do."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from hubwright.errors import MachineError, printable


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
    inodes = {row.inode for row in _rows() if row.protocol == "tcp" and row.port == port}
    return next((f"pid {one.pid} ({one.name})" for one in _holders(inodes).values()), "")


@dataclass(frozen=True)
class Listening:
    """A program that takes connections, or datagrams of whoever sends some."""

    port: int
    protocol: str
    """`tcp` or `udp`."""
    address: str
    program: str
    """Its name, which it chooses itself; empty when it cannot be seen."""
    roots: bool = False
    """Whether it runs as root, and root made the socket, so that its name can be believed."""


def listening() -> list[Listening]:
    """Return what listens on this machine, for itself alone not counted; the kernel's own sockets have no program."""
    rows = [row for row in _rows() if not row.address.is_loopback]
    holders = _holders({row.inode for row in rows})
    found: dict[tuple[int, str], Listening] = {}
    for row in rows:
        one = holders.get(row.inode, _Holder(0, "", False))
        key, roots = (row.port, row.protocol), one.roots and row.uid == 0
        if key not in found or (roots and not found[key].roots):
            found[key] = Listening(*key, str(row.address), one.name, roots)
    return [found[key] for key in sorted(found)]


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


@dataclass(frozen=True)
class _Row:
    protocol: str
    address: IPv4Address | IPv6Address
    port: int
    uid: int
    """Who made it: a program of root's may have been given it."""
    inode: str
    """As /proc/<pid>/fd shows it."""


def _rows() -> Iterator[_Row]:
    """Yield the sockets that wait for somebody (proc_pid_net(5): TCP in state 0A, UDP in 07 without a peer)."""
    for table, protocol, state in (
        ("tcp", "tcp", "0A"),
        ("tcp6", "tcp", "0A"),
        ("udp", "udp", "07"),
        ("udp6", "udp", "07"),
    ):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] != state or not fields[2].endswith(":0000"):
                continue
            host, _, port = fields[1].rpartition(":")
            yield _Row(protocol, _address(host), int(port, 16), int(fields[7]), f"socket:[{fields[9]}]")


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return an address that the kernel prints as 32-bit words of its own byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


@dataclass(frozen=True)
class _Holder:
    pid: int
    name: str
    roots: bool


def _holders(inodes: set[str]) -> dict[str, _Holder]:
    """Return a process that has each of these sockets open, as far as it can be seen: root's rather than another."""
    found: dict[str, _Holder] = {}
    for folder in Path("/proc").iterdir() if inodes else ():
        if not folder.name.isdecimal():
            continue
        try:
            held = {_link(entry) for entry in (folder / "fd").iterdir()} & inodes
            if held:
                one = _Holder(int(folder.name), _name(folder), folder.stat().st_uid == 0)
                found |= {inode: one for inode in held if one.roots or inode not in found}
        except OSError:
            continue
    return found


def _name(folder: Path) -> str:
    """Return how a process calls itself, fit for a terminal."""
    return printable((folder / "comm").read_text(errors="replace").strip())


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
