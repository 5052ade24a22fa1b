"""Which kernels run in the servers of a class. Servers are asked while somebody looks at the class, and else never.

Each is asked over its Unix socket for what Jupyter Server lists at `api/kernels`, whatever engine or image it is of.
What it is shown there is a token that opens this one server and nothing else, for a few minutes: the student's
own programs can read it, and it must be worth nothing to them. It belongs to a service of the hub, so that to be asked
is no activity of the student's. The teacher's browser sees neither token nor answer, only what `Kernels.known` returns.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyterhub import orm

from hubwright.engines.granting import GrantingMixin
from hubwright.envs import DEFAULT, OFFERED
from hubwright.hub.compile import CLASSES_SERVICE

Kernel = dict[str, str]
"""`{"name": "Python 3", "state": "busy"}`; the state is `busy`, `idle`, `starting`, or empty where it is another."""
_Key = tuple[str, str, str]

_EVERY = 9.0
"""Seconds for which an answer is new enough: while somebody looks, his page asks every five."""
_AFTER_FAILURE, _AFTER_MANY = 30.0, 480.0
"""Seconds in which a server that did not answer is left alone: twice as many each time, so that those do not wait for
it that answer."""
_HOLDS = 40.0
"""Seconds after which an answer says nothing any more."""
_FIRST = 1.0
"""Seconds that who looks waits for answers when there are none yet."""
_TAKES = 5.0
"""Seconds a server has to answer."""
_AT_ONCE = 8
"""Servers that are asked at a time."""
_TOKEN = 600
"""Seconds that a token lives."""
_BYTES = 2**18
_MOST, _LONGEST = 20, 60
"""Kernels of a server that are told, and characters of a name."""
_PYTHON = "python3"
"""The kernel of the environment `default`, and of Hubwright's own where there is none."""
_STATES = {"busy": "busy", "idle": "idle", "starting": "starting", "restarting": "starting"}


@dataclass
class _Server:
    """What is known of one."""

    kernels: list[Kernel] | None = None
    at: float = 0.0
    """When that was; like the others on the monotonic clock."""
    again: float = 0.0
    """When it may be asked again."""
    failed: float = 0.0
    """For how long it is left alone since it did not answer."""
    token: str = ""
    until: float = 0.0
    """Until when the token is good."""
    task: asyncio.Task[None] | None = None


class Kernels:
    """The kernels of servers, as far as somebody has asked lately."""

    def __init__(self, app: Any, environments: Path) -> None:
        """`environments`: where those of hub.yaml are, whose kernels have names for people."""
        self._app = app
        self._offered = environments / OFFERED
        self._servers: dict[_Key, _Server] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._names: dict[str, str] = {}

    async def look(self, users: Iterable[Any]) -> None:
        """Begin to ask the servers of users that were not asked lately; wait a moment for those never asked before."""
        now = time.monotonic()
        self._servers = {
            key: one
            for key, one in self._servers.items()
            if one.task or now < max(one.until, one.again + _HOLDS, one.at + _HOLDS)
        }
        new = []
        for spawner in (spawner for user in users if user is not None for spawner in user.spawners.values()):
            if not isinstance(spawner, GrantingMixin) or not spawner.ready:
                continue
            known = self._servers.setdefault(_key(spawner), _Server())
            if known.task is None and now >= known.again:
                known.task = asyncio.get_running_loop().create_task(self._ask(spawner, known))
                if known.kernels is None and not known.again:
                    new.append(known.task)
        if new:
            await asyncio.wait(new, timeout=_FIRST)

    def known(self, spawner: Any) -> list[Kernel] | None:
        """Return the kernels of a server; None while that is not known."""
        found = self._servers.get(_key(spawner))
        return found.kernels if found and time.monotonic() < found.at + _HOLDS else None

    async def _ask(self, spawner: GrantingMixin, known: _Server) -> None:
        known.failed = min(max(_AFTER_FAILURE, 2 * known.failed), _AFTER_MANY)
        try:
            async with self._turn:
                path = f"{spawner.server.base_url}api/kernels?no_track_activity=1"
                told = await fetch(spawner.socket, path, self._token(spawner, known))
                self._names = await asyncio.to_thread(_shown, self._offered)
            if told is not None:
                known.kernels, known.at, known.failed = kernels_of(told, self._names), time.monotonic(), 0.0
        finally:
            known.task, known.again = None, time.monotonic() + (known.failed or _EVERY)

    def _token(self, spawner: GrantingMixin, known: _Server) -> str:
        """Return a token for one server, which lives long enough to be used now."""
        if time.monotonic() > known.until - 2 * _TAKES:
            service = orm.Service.find(self._app.db, CLASSES_SERVICE)
            known.token = service.new_api_token(
                scopes=[f"access:servers!server={spawner.user.name}/{spawner.name}"],
                note="Asks which kernels run, for a teacher",
                expires_in=_TOKEN,
            )
            known.until = time.monotonic() + _TOKEN
        return known.token


def kernels_of(told: Any, names: dict[str, str]) -> list[Kernel]:
    """Return what is told of the kernels in a server's answer, which may be anything.

    Args:
        names: what people read of a kernel, by its name.
    """
    found = []
    for one in [one for one in told if isinstance(one, dict)][:_MOST] if isinstance(told, list) else ():
        name, state = (word if isinstance(word := one.get(key), str) else "" for key in ("name", "execution_state"))
        shown = "".join(letter for letter in names.get(name, name)[:_LONGEST] if letter.isprintable())
        found.append({"name": shown, "state": _STATES.get(state, "")})
    return found


async def fetch(socket: Path, path: str, token: str) -> Any:
    """Return the JSON that a server answers on its Unix socket; None when it answers anything else, or not in time."""
    try:
        async with asyncio.timeout(_TAKES):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                head = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: token {token}\r\nConnection: close"
                writer.write(f"{head}\r\n\r\n".encode())
                answer = b""
                while chunk := await reader.read(2**16):
                    answer += chunk
                    if len(answer) > _BYTES:
                        return None
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        start, _, rest = answer.partition(b"\r\n")
        return json.loads(rest.partition(b"\r\n\r\n")[2]) if start.split()[1:2] == [b"200"] else None
    except (OSError, TimeoutError, ValueError, RecursionError):
        return None


def _key(spawner: Any) -> _Key:
    return (spawner.user.name, spawner.name, str(spawner.orm_spawner.started))


def _shown(offered: Path) -> dict[str, str]:
    """Return what people read of the kernels of hub.yaml's environments, by their names."""
    try:
        found = json.loads(offered.read_bytes())
    except (OSError, ValueError):
        found = {}
    return {_PYTHON: found.pop(DEFAULT, "Python 3"), **found}
