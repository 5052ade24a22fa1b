"""JupyterHub's view of Caddy: a proxy that someone else starts and that is changed by writing files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyterhub.proxy import Proxy
from traitlets import Bool, Unicode

from hubwright.errors import Refused
from hubwright.proxy.names import folder_of
from hubwright.proxy.table import Damaged, Route, Table


class CaddyProxy(Proxy):
    """Keeps the routing table on disk; the hub's own route stands in Caddy's configuration and is only reported."""

    should_start = Bool(False, config=True, help="The supervisor starts Caddy, and Caddy outlives the hub.")
    routes = Unicode(config=True, help="The folder of the routing table, `Site.routes`.")
    servers = Unicode(config=True, help="The folder below which servers listen, `Site.servers`.")
    base_url = Unicode("/", config=True, help="The path part of the public address.")

    _suspects: frozenset[Path] = frozenset()
    """Entries that could not be read last time."""

    @property
    def table(self) -> Table:
        """The table at the configured place."""
        return Table(Path(self.routes), Path(self.servers), self.base_url)

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        """Add or replace a route, in a fraction of a millisecond."""
        routespec = self._validated(routespec)
        if not self._is_hub(routespec):
            self.table.add(routespec, target, data)

    async def delete_route(self, routespec: str) -> None:
        """Remove a route; one that is not there is no error, and the hub's stays."""
        routespec = self._validated(routespec)
        if not self._is_hub(routespec):
            self.table.delete(routespec)

    async def get_route(self, routespec: str) -> dict[str, Any] | None:
        """Return one route, None when there is none."""
        routespec = self._validated(routespec)
        if self._is_hub(routespec):
            return self._hub_route()
        found = self.table.get(routespec)
        return _as_dict(found) if found else None

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        """Return every route that can be read; the others are logged, and `check_routes` writes or removes them.

        The table is read in a thread, because thousands of small files take a good part of a second.
        """
        routes = {}
        suspects = set()
        for found in await asyncio.to_thread(lambda: list(self.table.entries())):
            if isinstance(found, Damaged):
                self.log.warning("Ignoring a damaged route: %s: %s.", found.path, found.why)
                suspects.add(found.path)
            else:
                routes[found.routespec] = _as_dict(found)
        self._suspects = frozenset(suspects)
        hub = self._hub_route()
        routes[hub["routespec"]] = hub
        return routes

    async def check_routes(
        self, user_dict: dict[Any, Any], service_dict: dict[str, Any], routes: dict[str, Any] | None = None
    ) -> None:
        """Make the table what the hub knows it should be, and remove what is still damaged then."""
        await super().check_routes(user_dict, service_dict, routes)
        for damaged in self.table.sweep(self._suspects):
            self.log.warning("Removed a damaged route: %s: %s.", damaged.path, damaged.why)
        self._suspects = frozenset()

    def _validated(self, routespec: str) -> str:
        routespec = self.validate_routespec(routespec)
        if not self._is_hub(routespec):
            folder_of(routespec, self.base_url)
        return routespec

    def _is_hub(self, routespec: str) -> bool:
        if routespec != self.hub.routespec:
            return False
        if routespec != self.base_url:
            raise Refused(
                f"The hub's route is {routespec}, but Caddy serves it at {self.base_url}.",
                remedy="Leave JupyterHub.hub_routespec as it is.",
            )
        return True

    def _hub_route(self) -> dict[str, Any]:
        return {"routespec": self.hub.routespec, "target": self.hub.host, "data": {"hub": True}}


def _as_dict(route: Route) -> dict[str, Any]:
    return {"routespec": route.routespec, "target": route.target, "data": route.data}
