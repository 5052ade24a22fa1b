"""`python -m hubwright.hub.culler`: jupyterhub-idle-culler, which ends with the hub that started it.

Servers tell the hub every few minutes that they are used. After a time in which none could, because there was no hub or
the machine slept, their last word is old: the culler waits until they had the time to tell.

JupyterHub starts a culler at each start and stops it at its end; a hub that is killed would leave one behind, with a
token that the next hub does not know. The culler asks the hub with Tornado's HTTP client, which knows no address of a
Unix socket: it is given another address, and a resolver that leads every address to that socket.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from tornado.netutil import Resolver

_PR_SET_PDEATHSIG = 1
_JUMP = 30.0
"""Seconds that the clock may be set forward without it being taken for a sleep."""
_LONGEST = 600.0
"""Seconds in which every server tells the hub twice: see `JUPYTERHUB_ACTIVITY_INTERVAL`."""
_AGAIN = 30.0
"""Seconds in which one that could not reach the hub tries again, twice as a rule (`exponential_backoff`)."""


class Listening:
    """How long servers have been able to tell that they are used.

    Args:
        awake: a clock that stands still while the machine sleeps, in seconds.
        wall: one that does not.
    """

    def __init__(self, awake: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._awake = awake
        self._wall = wall
        self._since = awake()
        self._apart = wall() - awake()

    def seconds(self) -> float:
        """Return it; asked at every look, it notices what was slept between two."""
        apart = self._wall() - self._awake()
        if apart - self._apart > _JUMP:
            self._since = self._awake()
        self._apart = apart
        return self._awake() - self._since

    def is_idle(self, *, inactive: timedelta, inactive_limit: float, server: Mapping[str, Any]) -> bool:
        """Whether to stop a server, as jupyterhub-idle-culler asks its arbiter."""
        listened = self.seconds()
        if listened < min(_LONGEST, inactive_limit / 2) + _AGAIN:
            started = datetime.fromisoformat(server["started"]).timestamp() if server.get("started") else 0
            if started < self._wall() - listened:
                return False
        return inactive.total_seconds() >= inactive_limit


class OneSocket(Resolver):
    """Resolves every name to one Unix socket."""

    def initialize(self, path: str) -> None:
        """`path` is the socket's."""
        self._path = path

    async def resolve(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[tuple[int, Any]]:
        """Return the socket, whatever is asked for."""
        return [(socket.AF_UNIX, self._path)]


def bridge(url: str) -> str:
    """Return the address under which Tornado's client reaches the hub at `url`; a TCP address stays as it is."""
    parts = urlsplit(url)
    if parts.scheme != "http+unix":
        return url
    Resolver.configure(OneSocket, path=unquote(parts.netloc.rpartition(":")[0] or parts.netloc))
    return f"http://localhost{parts.path}"


def main() -> None:
    """Run the culler with this process's arguments until the hub is gone."""
    hub = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != hub:
        return
    os.environ["JUPYTERHUB_API_URL"] = bridge(os.environ["JUPYTERHUB_API_URL"])
    from jupyterhub_idle_culler import IdleCuller  # reads the environment

    culler = IdleCuller.instance()
    culler.initialize()
    culler.cull_arbiter_hook = Listening().is_idle
    culler.start()


if __name__ == "__main__":
    main()
