"""Several authenticators as one: each says who somebody is, this one who may enter, as whom, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from traitlets import Dict, List, Unicode
from traitlets.utils.importstring import import_item

from hubwright.auth import names
from hubwright.auth.admins import COMMAND_HANDLERS
from hubwright.auth.identities import Known
from hubwright.auth.many.page import ChoiceHandler, form_of, page
from hubwright.auth.outside import OutsideAuthenticator
from hubwright.auth.rule import Person, Rule, Verdict
from hubwright.errors import Refused
from hubwright.machine.accounts import USERS_GROUP
from hubwright.machine.policy import find_account, group_names

_PER_WAY = frozenset({"/login", "/oauth_login", "/oauth_callback"})
"""Addresses that each way has for itself; its name stands behind them."""


class ManyAuthenticator(OutsideAuthenticator):
    """The ways to log in of a hub that has several."""

    ways = List(Dict(), config=True, help="Name, class, settings, label of each, and whether accounts are made.")
    listed = Unicode("", config=True, help="The way whose people lists outside of the ways mean.")
    links = Dict(config=True, help="Identities by Unix name, which are one person on purpose.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members: dict[str, Any] = {way["name"]: self._member(way) for way in self.ways}
        if hasattr(self.parent, "template_vars"):
            self.parent.template_vars["keeps_password"] = self._keeps_password
        self._existing = [way["name"] for way in self.ways if way["accounts"] == "existing"]

    def _member(self, way: dict[str, Any]) -> Any:
        """Return the authenticator of a way, which leaves to this one whom it has recognised."""
        member = import_item(way["class"])(parent=self.parent, **way["settings"])
        member.whole = self
        if not isinstance(member, OutsideAuthenticator):
            member.provider = way["name"]
            member.post_auth_hook = self._recognised
            member.allow_all = hasattr(member, "store")  # who has a password there was let in by an admin
        return member

    @property
    def store(self) -> Any:
        """The passwords of this hub's own; None without `first_use`."""
        return next((member.store for member in self.members.values() if hasattr(member, "store")), None)

    def _keeps_password(self, user: Any) -> bool:
        """Whether the hub itself has somebody's password, which can be changed on its page then."""
        return bool(user and self.store is not None and self.store.state(user.name) == "claimed")

    # The login page

    def get_custom_html(self, base_url: str) -> str:
        """Return the forms and buttons, with what went wrong above them."""
        shown = [form_of(way["name"], way["label"], self.members[way["name"]]) for way in self.ways]
        return page(base_url, shown)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the common login page, and each way's own."""
        for problem in self.identities.follow(self.links):
            self.log.error("%s", problem)
        self.begin(app)
        found: list[tuple[str, Any]] = [("/login", ChoiceHandler), *COMMAND_HANDLERS]
        for name, member in self.members.items():
            for path, handler in member.get_handlers(app):
                if path != "/logout" and (path, handler) not in COMMAND_HANDLERS:
                    bound = type(handler.__name__, (handler,), {"bound": member})
                    found.append((f"{path}/{name}" if path in _PER_WAY else path, bound))
        return found

    # Who may enter, and as whom

    async def _recognised(self, way: Any, handler: Any, authentication: dict[str, Any]) -> dict[str, Any] | None:
        """Let in an account of this machine, whose way has let it in; its groups in the hub stay as they are."""
        name = authentication["name"]
        model = await self.enter(handler, Person(way.provider, name, name), authentication["admin"])
        return None if model is None else {**authentication, **model, "groups": None}

    async def decide(self, person: Person) -> Verdict:
        """Return what the person's own way says, and, of who is linked to somebody of the lists, what those say."""
        way = self.members[person.provider]
        if person.provider == self.listed:
            return way.decider.decide(person, await asyncio.to_thread(self.identities.added))
        verdict = way.decider.decide(person) if isinstance(way, OutsideAuthenticator) else Verdict(True)
        name = await asyncio.to_thread(self.identities.name_of, person)
        for other in await asyncio.to_thread(self.identities.of, name) if name else ():
            if other.provider == self.listed and (said := await self._lists_say(other)).allowed:
                return Verdict(True, verdict.admin or said.admin if verdict.allowed else said.admin)
        return verdict

    async def _lists_say(self, known: Known) -> Verdict:
        """Return what the lists say of an identity of their way; its provider's groups say nothing of another's."""
        way = self.members[known.provider]
        if not isinstance(way, OutsideAuthenticator):
            return await way.stands(known.name)
        lists = Rule(users=way.decider.users, admins=way.decider.admins)
        return lists.decide(replace(way.as_known(known), groups=frozenset()), await self._added(known.provider))

    async def _added(self, way: str) -> frozenset[str]:
        return await asyncio.to_thread(self.identities.added) if way == self.listed else frozenset()

    def kept(self) -> frozenset[str]:
        """Return the names that lists of any way have."""
        return frozenset().union(*(member.kept() for member in self.members.values()))

    async def claim(self, person: Person) -> str:
        """Return the Unix name of somebody who may enter; `Refused` when it is another's, or kept for another."""
        return await asyncio.to_thread(self._claim, person)

    def _claim(self, person: Person) -> str:
        only = "" if self.account_socket else self.account
        added = self.identities.added()
        kept = {name: member.kept() for name, member in self.members.items()}
        kept[self.listed] |= added
        if self.account_socket and not self.identities.name_of(person):
            self._check_account(person)
        return self.identities.claim(person, kept.pop(person.provider), only, kept, frozenset(self.teams))

    def _check_account(self, person: Person) -> None:
        """Refuse who would get an account that is here, and that others log in with."""
        if person.provider in self._existing or not self._existing:
            return
        entry = find_account(name := names.unix_name(person.login))
        if entry is not None and USERS_GROUP not in group_names(entry):
            raise Refused(
                f'{person} would be "{name}", an account of this machine: {self._existing[0]}:{name}.',
                remedy=f'If it is the same person, link them: "hubwright names link {name} {person}".',
            )

    async def ensure(self, name: str) -> None:
        """Have the Unix account made when it is missing, unless whose it is must have one."""
        known = await asyncio.to_thread(self.identities.of, name)
        if known and all(one.provider in self._existing for one in known) and find_account(name) is None:
            raise Refused(f'This machine has no account "{name}".', remedy="The admin can make it.")
        await super().ensure(name)

    # Staying in

    def way_of(self, known: Known) -> Any:
        """Return the authenticator of an identity's way; None: there is no such way now."""
        return self.members.get(known.provider)

    async def verdict_of(self, known: Known, way: Any) -> tuple[Verdict, list[str] | None]:
        """Return what now holds for one identity, and its groups; those of an account of this machine are not ours."""
        if isinstance(way, OutsideAuthenticator):
            return await super().verdict_of(known, way)
        return await way.stands(known.name), None

    # People on the hub's pages

    def check_free(self, name: str, way: str) -> None:
        """Raise `Refused` when a name is that of somebody who comes by another way only."""
        known = self.identities.of(name)
        if known and all(one.provider != way for one in known):
            raise Refused(
                f'"{name}" is {known[0]} already.',
                remedy=f'If {way}:{name} is the same person: "hubwright names link {name} {way}:{name}".',
            )

    async def add_user(self, user: Any) -> None:
        """Note whom an admin has added for the way that lists mean; raises as `OutsideAuthenticator`'s."""
        if user.name not in self._entering:
            await asyncio.to_thread(self.check_free, user.name, self.listed)
        await super().add_user(user)

    async def delete_user(self, user: Any) -> None:
        """Take somebody out of every way; who is in by a Unix group that cannot be left stays, and that is told."""
        own = [member for member in self.members.values() if not isinstance(member, OutsideAuthenticator)]
        for member in sorted(own, key=lambda member: hasattr(member, "store")):  # a password is forgotten last
            await member.delete_user(user)
        await super().delete_user(user)
