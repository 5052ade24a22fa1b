"""Looking again and again who may still enter, and ending what those have who may not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from jupyterhub import orm

from hubwright.auth.rule import Verdict
from hubwright.auth.sessions import end_codes

_FIRST_LOOK = 2.0
"""Seconds after the start of the hub until it is looked at who may still enter: hub.yaml may have changed."""
Standing = Callable[[str], Awaitable[tuple[Verdict, list[str] | None]]]
"""From a Unix name to what holds for it now, and its groups; None leaves those as they are."""


class Patrol:
    """Ends sessions, tokens and servers of who is out, after the time of grace."""

    def __init__(self, grace: float, every: float, log: Any, *, groups: bool = True) -> None:
        """Look `every` so many seconds; who is out goes on for `grace` seconds.

        `groups`: the hub's groups are the provider's, and end, too; else the roster's, which the next apply would mend.
        """
        self._grace, self._every, self._log, self._groups = grace, every, log, groups
        self._out: dict[str, float] = {}
        """Since when somebody, by Unix name, is known to be out."""
        self._app: Any = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, app: Any, standing: Standing) -> None:
        """Begin to look at the people of a hub; called once, while it starts."""
        self._app = app
        self._task = asyncio.get_running_loop().create_task(self._look(standing))

    def is_in(self, name: str) -> None:
        """Note that somebody may enter."""
        self._out.pop(name, None)

    async def throw_out(self, name: str, verdict: Verdict) -> bool:
        """End what somebody has here; False while the time of grace runs."""
        since = self._out.setdefault(name, time.monotonic())
        if time.monotonic() < since + (self._grace if verdict.grace is None else verdict.grace):
            return False
        user = self._app.users[name] if self._app is not None else None
        if user is None:
            return True
        tokens = list(user.api_tokens)
        running = [server for server, spawner in user.spawners.items() if spawner.active]
        if tokens or running or user.admin or (self._groups and user.groups):
            self._log.warning("%s is out: sessions, %d tokens and %d servers end", name, len(tokens), len(running))
            self._log.warning("%s", verdict.detail)
        user.orm_user.cookie_id = orm.new_token()
        user.admin = False
        for token in tokens:
            self._app.db.delete(token)
        end_codes(self._app.db, user)
        self._app.db.commit()
        if self._groups:
            user.sync_groups([])
        for server in running:
            await self._stop(user, server)
        return True

    async def _stop(self, user: Any, server: str) -> None:
        """Stop a server; one that is just starting or stopping is met at the next look."""
        spawner = user.spawners[server]
        if spawner.pending:
            return
        spawner._stop_pending = True
        try:
            await self._app.proxy.delete_user(user, server)
            await user.stop(server)
        finally:
            spawner._stop_pending = False

    async def _look(self, standing: Standing) -> None:
        """Look again and again at everybody who has something here."""
        wait = _FIRST_LOOK
        while True:
            await asyncio.sleep(wait)
            wait = self._every
            for name in [user.name for user in self._app.db.query(orm.User)]:
                try:
                    await self._look_at(name, standing)
                except Exception:  # whatever is wrong with one must not keep the others in; told, and tried again
                    self._log.exception("Whether %s may still enter is not known", name)

    async def _look_at(self, name: str, standing: Standing) -> None:
        user = self._app.users.get(name)
        if name in getattr(self._app, "teams", ()):
            return  # a group's own server, which no provider knows
        if user is None or not (user.api_tokens or user.active or name in self._out):
            return  # a session alone is looked at when it asks for something
        verdict, groups = await standing(name)
        if not verdict.allowed:
            await self.throw_out(name, verdict)
            return
        self.is_in(name)
        if groups is not None:
            user.sync_groups(groups)
