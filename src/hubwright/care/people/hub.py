"""The roster's people as the hub knows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from hubwright.auth import ways
from hubwright.auth.identities import Identities, Known
from hubwright.auth.names import plain
from hubwright.care.hub_api import HubApi
from hubwright.config.model import Hub
from hubwright.errors import MachineError, NotRunning, Refused
from hubwright.fields import Site
from hubwright.machine.files import Owner
from hubwright.people.roster import Person

SLOW = 60.0
"""Seconds for requests that may wait for useradd, or for a server to stop."""


@dataclass(frozen=True)
class HubPeople:
    """Whom the hub knows now."""

    api: HubApi
    kind: str
    users: dict[str, dict[str, Any]]
    identities: Identities | None = None
    """Where addresses are let in, when others say who people are."""
    added: frozenset[str] = field(default_factory=frozenset)
    names: Mapping[str, list[Known]] = field(default_factory=dict)
    """Whose names are, where the provider tells no groups, so that the roster gives them by name; empty elsewhere."""
    short_domain: str = ""
    """The one domain whose addresses the roster may name without it, there."""

    @classmethod
    def find(cls, hub: Hub, site: Site) -> HubPeople | None:
        """Return them; None while the hub does not run."""
        api = HubApi(site, SLOW)
        try:
            users = {str(user["name"]): user for user in api.users()}
        except (NotRunning, MachineError):  # no account of the hub yet: it never ran
            return None
        if not is_outside(hub):
            return cls(api, ways.listed(hub.auth).kind, users)
        identities = Identities(site.secrets, Owner.of(site.account) if site.privileged else None)
        found = cls(api, ways.listed(hub.auth).kind, users, identities, identities.added())
        if not ways.roster_groups(hub.auth):
            return found
        return replace(found, names=identities.all(), short_domain=getattr(hub.auth, "short_domain", ""))

    def lacks(self, person: Person) -> bool:
        """Whether somebody of the roster cannot enter yet."""
        return person.name not in self.users or (self.identities is not None and called(person) not in self.added)

    def namesake(self, person: Person) -> str:
        """Return who has the name of somebody of the roster, and is another by his address; "" for nobody."""
        known = self.names.get(person.name, [])
        same = any(called(person) in {one.login, plain(one.login, self.short_domain)} for one in known)
        return "" if same or not known else str(known[0])

    def knows(self, person: Person) -> bool:
        """Whether somebody can enter, or has something here."""
        return person.name in self.users or called(person) in self.added

    def is_admin(self, name: str) -> bool:
        """Whether the hub takes somebody for an admin."""
        return bool(self.users.get(name, {}).get("admin"))

    def groups(self, name: str) -> frozenset[str]:
        """Return the hub's groups of somebody."""
        return frozenset(self.users.get(name, {}).get("groups") or ())

    def routes(self, name: str, base_url: str) -> list[str]:
        """Return the addresses below which the servers of somebody are reached now."""
        running = sorted(self.users.get(name, {}).get("servers") or {})
        return [f"{base_url}user/{name}/{f'{server}/' if server else ''}" for server in running]

    def add(self, person: Person, before: Person | None) -> str:
        """Let somebody in, by no other address than before any more; return the one-time link, if there are such."""
        fresh = person.name not in self.users
        if fresh:
            self.api.ask("POST", path(person.name), {})
        if self.identities is not None:
            if fresh:  # the hub has noted the bare name, which would let in anybody who comes by it
                self.identities.drop(person.name)
            if before is not None and called(before) != called(person):
                self.identities.drop(called(before))
            self.identities.add(called(person))
        if fresh and self.kind == "first_use":
            return str(self.api.ask("POST", f"/hubwright/people/{quote(person.name, safe='')}/link", {})["link"])
        return ""

    def set_admin(self, name: str, admin: bool) -> str:
        """Make somebody an admin, or take it away."""
        self.api.ask("POST" if admin else "DELETE", f"/hubwright/people/{quote(name, safe='')}/admin")
        return ""

    def set_group(self, group: str, add: list[str], remove: list[str]) -> str:
        """Bring a group's members into step."""
        address = f"/groups/{quote(group, safe='')}"
        try:
            self.api.ask("GET", address)
        except Refused:
            self.api.ask("POST", address, {})
        if add:
            self.api.ask("POST", f"{address}/users", {"users": add})
        if remove:
            self.api.ask("DELETE", f"{address}/users", {"users": remove})
        return ""

    def remove(self, person: Person) -> str:
        """End servers, sessions and tokens of somebody, and let him in no more."""
        if self.identities is not None:
            self.identities.drop(called(person))
        if person.name in self.users:
            end_user(self.api, person.name)
        return ""


def is_outside(hub: Hub) -> bool:
    """Whether others than this machine say who the people of lists are, by addresses."""
    return ways.is_outside(ways.listed(hub.auth))


def called(person: Person) -> str:
    """Return the name by which a provider calls somebody; addresses are in small letters."""
    return person.login.lower() if person.is_address else person.login


def path(name: str) -> str:
    """Return a user's path in the API."""
    return f"/users/{quote(name, safe='')}"


def end_user(api: HubApi, name: str, patience: float = 40.0) -> None:
    """Stop a user's servers and delete the user, tokens included.

    Raises:
        Refused, NotRunning: as `HubApi.ask`; also when a server does not end in time.
    """
    user = api.ask("GET", path(name))
    for server in user.get("servers") or {}:
        api.ask("DELETE", f"{path(name)}/servers/{quote(server, safe='')}" if server else f"{path(name)}/server")
    end = time.monotonic() + patience
    while True:
        try:
            api.ask("DELETE", path(name))
            return
        except Refused as refusal:  # a server that is still stopping
            if time.monotonic() > end or "stopping" not in str(refusal):
                raise
        time.sleep(0.5)
