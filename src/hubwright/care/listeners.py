"""Caddy's listening sockets: bound once, handed to every Caddy, taken back from one that outlived its `up`."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.machine import ports, wire
from hubwright.machine.process import Process
from hubwright.machine.sockets import Address, listeners_of

PUBLIC, INTERNAL, REDIRECT = 60, 61, 62
"""The descriptors under which Caddy finds them: always the same, so that its configuration is, too."""


@dataclass(frozen=True)
class Listeners:
    """The public TCP socket, the Unix socket for the hub's API, and where there is one the TCP socket for plain HTTP.

    They have the descriptors PUBLIC, INTERNAL and REDIRECT.
    """

    recovered: bool
    """Whether all came from a running Caddy, which then need not be stopped."""
    descriptors: tuple[int, ...]

    def close(self) -> None:
        """Give the ports back. The Unix socket's file stays, deaf, so that its place is not free."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def open_listeners(site: Site, caddy: Process | None, redirect: tuple[str, int] | None = None) -> Listeners:
    """Take the sockets from `caddy` if it runs and listens there, else bind them; `redirect` is the one for plain HTTP.

    The run folder must be made already: who may write there could stand in for the hub.
    """
    wanted: dict[int, Address] = {PUBLIC: _plain(site.listen), INTERNAL: str(site.api_socket)}
    if redirect:
        wanted[REDIRECT] = _plain(redirect)
    old = listeners_of(caddy) if caddy is not None else {}
    bound: dict[int, socket.socket] = {}
    try:
        for number, address in wanted.items():
            if address in old and (number != INTERNAL or _is_my_socket(site.api_socket)):
                bound[number] = old.pop(address)
        recovered = bound.keys() == wanted.keys()
        if caddy is not None and caddy.alive() and not recovered:
            caddy.stop(5)
            for listener in bound.values():
                listener.close()
            bound = {}
        for number, address in wanted.items():
            if number not in bound:
                one = ports.listen(*address) if isinstance(address, tuple) else _listen_for_everybody(site.api_socket)
                bound[number] = one
        for number, listener in bound.items():
            os.dup2(listener.fileno(), number, inheritable=False)
    finally:
        for listener in (*bound.values(), *old.values()):
            listener.close()
    return Listeners(recovered, tuple(wanted))


def _listen_for_everybody(path: Path) -> socket.socket:
    """Bind the Unix socket; whatever file the hub's account may have put in its place goes."""
    try:
        return wire.listen(path, 0o666, backlog=4096)
    except OSError as error:
        raise MachineError(
            f"Cannot listen on {path}: {error.strerror}.", remedy="Move away what is there, then start again."
        ) from error


def _is_my_socket(path: Path) -> bool:
    """Whether the file is still a socket that this account made, and not one that was put in its place."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()


def _plain(listen: tuple[str, int]) -> tuple[str, int]:
    """The address as getsockname(2) tells it."""
    host, port = listen
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return str(found[0][4][0]), int(found[0][4][1])
