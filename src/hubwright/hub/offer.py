"""`GET /hub/api/hubwright/offer`: what a user may choose from, and what of it can start now. For the start page.

The caller must be allowed to start this user's servers (scope `start:servers`): a user his own, an admin everybody's
with `?user=NAME`. `?server=NAME` is the server that is to be started, the default one without it. Memory is in bytes.

    {"profiles": true,              false without that section: then there is nothing to choose
     "sizes": [{"name": "Small", "cpu": 2.0, "memory": 4294967296, "gpu": 0, "fits": true, "reason": ""}, ...],
     "images": [{"name": "Python", "help": "..."}, ...],
     "largest": {"cpu": 10.0, "memory": 42949672960},      the most of any size, each on its own
     "reserve": {"cpu": 2.0, "memory": 4294967296},        the most this user may reserve; zero is nothing
     "free": {"cpu": 30.0, "memory": 107374182400},        what can be reserved now
     "reserved": {"cpu": 6.0, "memory": 21474836480},      what all servers have reserved
     "room": {"cpu": 36.0, "memory": 128849018880},        what can be reserved in all
     "machine": {"cpu": 40.0, "memory": 137438953472, "gpu": 0},
     "available": {"cpu": 31.5, "memory": 96636764160},    what nobody uses now: by load and free memory
     "total": {"cpu": 20.0, "memory": 85899345920} or null, what all servers of this user may have together
     "used": {"cpu": 10.0, "memory": 42949672960},         what his other servers have of it
     "servers": {"used": 1, "allowed": 3},                 other servers of this user that run; how many may
     "last": {"size": "Small"} or null,                    `user_options` of the last start that was granted
     "refused": ""}                 why nothing at all can start now

The first of `sizes` and of `images` is preselected where `last` does not say it. What the form sends back is what
`profiles.request.options_from_form` reads: `size cpu memory image reserve_cpu reserve_memory`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import Scope
from tornado.web import HTTPError

from hubwright.engines.granting import GrantingMixin
from hubwright.machine import capacity
from hubwright.profiles import resolve
from hubwright.profiles.grants import Amounts, NotGranted


def offer(spawner: GrantingMixin, server: str) -> dict[str, Any]:
    """Return what the user of `spawner` may choose from for his server `server`; see above."""
    beside = spawner.others(server)
    machine = spawner.machine()
    reserved = resolve.reserved(beside)
    mine = [one for one in beside if one.user == spawner.user.name]
    found: dict[str, Any] = {
        "profiles": False,
        "sizes": [],
        "images": [],
        "largest": _amounts(Amounts()),
        "reserve": _amounts(Amounts()),
        "free": _amounts(machine.room.less(reserved)),
        "reserved": _amounts(reserved),
        "room": _amounts(machine.room),
        "machine": {"cpu": machine.cpu, "memory": machine.memory, "gpu": len(machine.gpus)},
        "available": {"cpu": max(0.0, machine.cpu - capacity.busy()), "memory": capacity.available()},
        "total": None,
        "used": _amounts(sum((Amounts(one.grant.cpu or 0.0, one.grant.memory or 0) for one in mine), Amounts())),
        "servers": {"used": len(mine), "allowed": spawner.most_servers},
        "last": spawner.choice,
        "refused": "",
    }
    try:
        allowed = spawner.entitlement()
    except NotGranted as refusal:
        return {**found, "profiles": True, "refused": str(refusal)}
    if allowed is None:
        return found
    sizes = []
    for name, size in allowed.sizes.items():
        reason = _reason(spawner, {"size": name}, server)
        sizes.append(
            {
                "name": name,
                "cpu": size.cpu,
                "memory": size.memory,
                "gpu": size.gpu or 0,
                "fits": not reason,
                "reason": reason,
            }
        )
    reasons = {size["reason"] for size in sizes}
    return {
        **found,
        "profiles": True,
        "sizes": sizes,
        "images": [{"name": name, "help": image.help} for name, image in allowed.images.items()],
        "largest": _amounts(allowed.largest),
        "reserve": _amounts(allowed.reserve),
        "total": _amounts(allowed.total) if allowed.total else None,
        "servers": {"used": len(mine), "allowed": allowed.servers},
        "refused": reasons.pop() if len(reasons) == 1 and len(mine) >= allowed.servers else "",
    }


def _reason(spawner: GrantingMixin, options: dict[str, Any], server: str) -> str:
    """Return why a choice cannot start now; empty when it can."""
    try:
        spawner.decide(options, server)
    except NotGranted as refusal:
        return str(refusal)
    return ""


def _amounts(found: Amounts) -> dict[str, Any]:
    return asdict(found)


class OfferHandler(APIHandler):
    """What a user may choose from."""

    async def get(self) -> None:
        """Answer as the module says; 403 for another user's, 404 for one that is not there."""
        caller = self.current_user
        if caller is None:
            raise HTTPError(403, "Log in first.")
        name = self.get_query_argument("user", None) or ("" if isinstance(caller, orm.Service) else caller.name)
        if not name:
            raise HTTPError(400, "Say for whom: ?user=NAME.")
        wanted = orm.User.find(self.db, name)
        scope = self.parsed_scopes.get("start:servers")
        if scope is not Scope.ALL and (
            wanted is None or not self.get_scope_filter("start:servers")(wanted, kind="user")
        ):
            raise HTTPError(403, "You may ask for your own servers only.")
        if wanted is None:
            raise HTTPError(404, f"There is no user {name}.")
        user = self.user_from_username(name)
        server = self.get_query_argument("server", "")
        spawner = user.spawners[server] if server in user.orm_spawners else user.spawner
        if not isinstance(spawner, GrantingMixin):
            raise HTTPError(404, "The spawner of this hub is not Hubwright's.")
        await spawner.learn_groups()
        self.set_header("Cache-Control", "no-store")
        self.finish(offer(spawner, server))


HANDLERS = [(r"/api/hubwright/offer", OfferHandler)]
