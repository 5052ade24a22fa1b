"""Caddy's two listening sockets: bound once, handed to every Caddy, taken back from one that outlived its `up`."""

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
from hubwright.machine.sockets import listeners_of

PUBLIC, INTERNAL = 60, 61
"""The descriptors under which Caddy finds them: always the same, so that its configuration is, too."""


@dataclass(frozen=True)
class Listeners:
    """The public TCP socket and the Unix socket for the hub's API, under the descriptors PUBLIC and INTERNAL."""

    recovered: bool
    """Whether both came from a running Caddy, which then need not be stopped."""

    def close(self) -> None:
        """Give the port back. The Unix socket's file stays, deaf, so that its place is not free."""
        os.close(PUBLIC)
        os.close(INTERNAL)


def open_listeners(site: Site, caddy: Process | None) -> Listeners:
    """Take both sockets from `caddy` if it runs and listens there, else bind them.

    The run folder must be made already: who may write there could stand in for the hub.
    """
    old = listeners_of(caddy) if caddy is not None else {}
    try:
        public = old.get(_plain(site.listen))
        internal = old.get(str(site.api_socket)) if _is_my_socket(site.api_socket) else None
        recovered = public is not None and internal is not None
        if caddy is not None and caddy.alive() and not recovered:
            caddy.stop(5)
            for listener in old.values():
                listener.close()
            public = internal = None
        public = public or ports.listen(*site.listen)
        internal = internal or _listen_for_everybody(site.api_socket)
        os.dup2(public.fileno(), PUBLIC, inheritable=False)
        os.dup2(internal.fileno(), INTERNAL, inheritable=False)
        public.close()
        internal.close()
    finally:
        for listener in old.values():
            listener.close()
    return Listeners(recovered)


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
