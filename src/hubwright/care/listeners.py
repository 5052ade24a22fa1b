"""Caddy's two listening sockets: bound once, handed to every Caddy, taken back from one that outlived its `up`."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.machine import ports
from hubwright.machine.files import write_atomically
from hubwright.machine.process import Process
from hubwright.machine.sockets import listeners_of

PUBLIC, INTERNAL = 60, 61
"""The descriptors under which Caddy finds them: always the same, so that its configuration is, too."""


@dataclass(frozen=True)
class Listeners:
    """The public and the internal socket, under the descriptors PUBLIC and INTERNAL."""

    internal_port: int
    recovered: bool
    """Whether both came from a running Caddy, which then need not be stopped."""

    def close(self) -> None:
        """Give the ports back."""
        os.close(PUBLIC)
        os.close(INTERNAL)


def open_listeners(site: Site, caddy: Process | None) -> Listeners:
    """Take both sockets from `caddy` if it runs and listens there, else bind them; the internal port is noted.

    The internal port stays what it was if it is free, for running notebooks know it.
    """
    old = listeners_of(caddy) if caddy is not None else {}
    try:
        public = old.get(_plain(site.listen))
        internal = old.get(("127.0.0.1", site.internal_port))
        recovered = public is not None and internal is not None
        if caddy is not None and caddy.alive() and not recovered:
            caddy.stop(5)
            for listener in old.values():
                listener.close()
            public = internal = None
        public = public or ports.listen(*site.listen)
        internal = internal or _bind_internal(site.internal_port)
        port = int(internal.getsockname()[1])
        os.dup2(public.fileno(), PUBLIC, inheritable=False)
        os.dup2(internal.fileno(), INTERNAL, inheritable=False)
        public.close()
        internal.close()
    finally:
        for listener in old.values():
            listener.close()
    write_atomically(site.run / "ports.json", json.dumps({"internal": port}), 0o644, durable=False)
    return Listeners(port, recovered)


def _bind_internal(noted: int) -> socket.socket:
    try:
        return ports.listen("127.0.0.1", noted)
    except MachineError:
        return ports.listen("127.0.0.1", 0)


def _plain(listen: tuple[str, int]) -> tuple[str, int]:
    """The address as getsockname(2) tells it."""
    host, port = listen
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return str(found[0][4][0]), int(found[0][4][1])
