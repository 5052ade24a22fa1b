"""`/hub/api/hubwright/usage` and `.../prometheus`: who may see what the metrics know. What comes stands there.

The metrics are asked through their socket, without holding up the hub's loop, and only what a caller's scopes allow
is asked for: `read:servers` on a user for his servers, `list:users` or `admin:users` for everybody (or for those that
the scope's filter names), `read:metrics` for Prometheus. Who may see anything at all sees the machine's totals.
"""

from __future__ import annotations

import math
import os
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import Scope, needs_scope
from tornado.web import HTTPError

from hubwright.errors import NotRunning
from hubwright.fields import Site
from hubwright.machine import async_wire, site_file

_TAKES = 8.0
"""Seconds the metrics have to answer."""
_AWAY = "Nothing is measured now: the metrics do not answer. They are being started again, or metrics.enabled is false."
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""


class Asking(APIHandler):
    """Asks the metrics."""

    async def ask(self, request: dict[str, Any]) -> bytes:
        """Return the body of their answer; 503 with a sentence while there is none."""
        try:
            async with async_wire.connect(site().metrics_socket) as connection:
                connection.send(request)
                head = await connection.receive(_TAKES)
                if not head.get("ok"):
                    raise HTTPError(503, str(head.get("error") or _AWAY))
                return await connection.receive_bytes(int(head["bytes"]), _TAKES)
        except NotRunning as error:
            self.log.warning("The metrics: %s", error)
            raise HTTPError(503, _AWAY) from error

    def reserves(self, names: frozenset[str] | None) -> dict[str, dict[str, tuple[float, int]]]:
        """Return processors and bytes that are kept for the servers of users; of everybody with None."""
        found: dict[str, dict[str, tuple[float, int]]] = {}
        users = list(self.users.values()) if names is None else [self.find_user(name) for name in names]
        for user in filter(None, users):
            for name, spawner in list(user.spawners.items()):
                grant = getattr(spawner, "grant", None) if spawner.active else None
                if grant is not None and grant.reserve:
                    found.setdefault(user.name, {})[name] = (grant.reserve.cpu, grant.reserve.memory)
        return found


class UsageHandler(Asking):
    """What servers and the machine take, now and over time."""

    async def get(self) -> None:
        """Answer as `hubwright.metrics` says."""
        everybody = self.get_query_argument("all", "") not in ("", "0", "false")
        users = self._allowed_of_all() if everybody else frozenset({self._one()})
        request = {
            "op": "usage",
            "users": None if users is None else sorted(users),
            "server": self.get_query_argument("server", None),
            "hours": self._number("hours"),
            "points": self._number("points"),
            "top": self._number("top"),
            "all": everybody,
            "reserves": self.reserves(users),
            "since": {} if users is None else self._since(users),
        }
        self.set_header("Cache-Control", "no-store")
        self.finish(await self.ask(request))

    def _one(self) -> str:
        """Return whose servers are asked for, if the caller may see them."""
        caller = self.current_user
        if caller is None:
            raise HTTPError(403, "Log in first.")
        name = self.get_query_argument("user", None) or ("" if isinstance(caller, orm.Service) else caller.name)
        if not name:
            raise HTTPError(400, "Say whose usage: ?user=NAME, or ?all=1.")
        wanted = orm.User.find(self.db, name)
        scope = self.parsed_scopes.get("read:servers")
        if scope is Scope.ALL or (wanted is not None and self.get_scope_filter("read:servers")(wanted, kind="user")):
            return str(name)
        raise HTTPError(403, "You may see the usage of your own servers only.")

    def _since(self, names: frozenset[str]) -> dict[str, float]:
        """Return since when the hub knows each user: what an earlier one of that name did is nobody's to see."""
        users = self.db.query(orm.User).filter(orm.User.name.in_(names))
        return {user.name: user.created.replace(tzinfo=UTC).timestamp() for user in users if user.created}

    def _allowed_of_all(self) -> frozenset[str] | None:
        """Return the names of those that the caller may list, None for everybody."""
        names: set[str] = set()
        found = [self.parsed_scopes[name] for name in ("list:users", "admin:users") if name in self.parsed_scopes]
        if not found:
            raise HTTPError(403, "Only who may list the users sees everybody's usage.")
        for scope in found:
            if scope is Scope.ALL:
                return None
            names.update(scope.get("user", ()))
            for group in scope.get("group", ()):
                if (members := orm.Group.find(self.db, group)) is not None:
                    names.update(user.name for user in members.users)
        return frozenset(names)

    def _number(self, name: str) -> float | None:
        text = self.get_query_argument(name, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < 1e6:
            raise HTTPError(400, f"{name} is not a number above zero: {text[:40]}")
        return value


class PrometheusHandler(Asking):
    """The same for Prometheus."""

    @needs_scope("read:metrics")
    async def get(self) -> None:
        """Answer with every metric as of now."""
        body = await self.ask({"op": "prometheus", "reserves": self.reserves(None)})
        self.set_header("Content-Type", _TEXT)
        self.finish(body)


@cache
def site() -> Site:
    """Return where this service keeps its things."""
    return site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))


HANDLERS = [(r"/api/hubwright/usage", UsageHandler), (r"/api/hubwright/prometheus", PrometheusHandler)]
