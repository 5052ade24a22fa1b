"""Whether a name leads to this machine: asked through the very ports where a certificate authority will ask."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from hubwright.errors import HubwrightError, Problem
from hubwright.fields import Site
from hubwright.machine import ports

PORTS = (80, 443)
_WAIT = 4.0


def unreachable(names: Sequence[str], site: Site) -> list[Problem]:
    """Return which names do not resolve, or do not lead here on port 80 or 443; nothing while a port is in use.

    For a moment both ports are listened on, and each name is connected to, as from outside: what answers must know a
    word that only this process does. A firewall that treats this machine differently from others is not seen.
    """
    found = []
    places: dict[str, list[str]] = {}
    for name in names:
        try:
            told = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            places[name] = list(dict.fromkeys(str(one[4][0]) for one in told))
        except OSError:
            what = f"{name} does not resolve to any address."
            found.append(Problem("hub.yaml hub.url", what, "Make it an A or AAAA record of this machine's address."))
    word = secrets.token_hex(16).encode()
    with ExitStack() as stack:
        for port in PORTS:
            try:
                listener = stack.enter_context(ports.listen(site.listen[0], port))
            except HubwrightError:
                return found  # ours runs there already; a stranger is told by the check of ports
            stack.enter_context(_Answering(listener, word))
        found += _lost(places, word)
    return found


def _lost(places: dict[str, list[str]], word: bytes) -> Iterator[Problem]:
    for name, addresses in places.items():
        for address in addresses:
            closed = [port for port in PORTS if _ask(address, port) != word]
            if closed:
                which = " and ".join(f"port {port}" for port in closed)
                what = f"{name} is {address}, and {which} there does not lead to this machine."
                remedy = (
                    "Point the name here, and open ports 80 and 443 in the firewall. If only this machine cannot reach "
                    "itself by that address, write `probe: false` below https."
                )
                yield Problem("hub.yaml hub.url", what, remedy)


def _ask(address: str, port: int) -> bytes:
    try:
        with socket.create_connection((address, port), timeout=_WAIT) as connection:
            connection.settimeout(_WAIT)
            return b"".join(iter(partial(connection.recv, 64), b""))[:64]
    except OSError:
        return b""


class _Answering:
    """A thread that sends the word to whoever connects."""

    def __init__(self, listener: socket.socket, word: bytes) -> None:
        self._listener = listener
        self._word = word
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *reason: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(_WAIT)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.sendall(self._word)
                except OSError:
                    continue
