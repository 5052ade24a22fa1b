"""What every authenticator does whose people are known elsewhere: who may enter, under which name, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyterhub import orm
from traitlets import Bool, Dict, Float, Unicode

from hubwright.auth.identities import Identities, Known
from hubwright.auth.patrol import Patrol
from hubwright.auth.rule import Person, Rule, Verdict
from hubwright.auth.unix_accounts import AccountAuthenticator
from hubwright.errors import HubwrightError, NotRunning, Refused

_OLD = "You logged in too long ago, and your provider cannot be asked about you. Log in again."


class Unasked(HubwrightError):
    """The provider cannot be asked about somebody any more: what it said at the login is all that is known."""

    def __init__(self, lasts: float, *, ended: bool = False) -> None:
        """It counts for `lasts` seconds since the login; `ended`: the provider has ended its own session."""
        super().__init__("The provider cannot be asked about this person.")
        self.lasts, self.ended = lasts, ended


class OutsideAuthenticator(AccountAuthenticator):
    """The part of an authenticator that begins when a provider has said who somebody is."""

    provider = Unicode("", config=True, help="What identities of this provider begin with, as in `ldap:alice`.")
    state = Unicode("", config=True, help="The service's state folder; whose is which name lies in `secrets` below it.")
    public_url = Unicode("", config=True, help="How browsers reach the service.")
    rule = Dict(config=True, help="Who may enter, as `Rule.plain` writes it.")
    grace = Float(0.0, config=True, help="Seconds that somebody who was taken out may go on.")
    tells_groups = Bool(True, config=True, help="Whether the provider tells groups; else the hub's are the roster's.")
    look_every = Float(60.0, config=True, help="Seconds between looks at who may still enter.")

    manage_groups = Bool(True, help="Hub groups are the provider's, brought into step at each login and look.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.identities = Identities(Path(self.state, "secrets"))
        self.decider = Rule.parse(self.rule) if self.rule else Rule()
        self._entering: set[str] = set()
        self.patrol = Patrol(self.grace, self.look_every, self.log, groups=self.tells_groups)

    # What kinds add

    def way_of(self, known: Known) -> OutsideAuthenticator | None:
        """Return the way by which an identity comes; None: it comes from nowhere now."""
        return self if known.provider == self.provider else None

    def domain(self) -> str:
        """Return the one domain whose addresses lists may name without it, or ""."""
        return ""

    def kept(self) -> frozenset[str]:
        """Return the names that lists have for people of this way."""
        return self.decider.named

    async def look_up(self, known: Known) -> Person | None:
        """Ask the provider for somebody who is not here; None when it knows him no more.

        Without a way to ask, it is as it was at the last login.

        Raises:
            NotRunning: the provider does not answer, so that nothing is known.
            Unasked: it cannot be asked any more, and what it said counts for some time only.
        """
        return self.as_known(known)

    def as_known(self, known: Known) -> Person:
        """Return somebody as he was at the last login or look."""
        return Person(known.provider, known.subject, known.login, frozenset(known.groups), self.domain())

    # Coming in

    async def admit(self, handler: Any, person: Person) -> dict[str, Any] | None:
        """Return what JupyterHub takes for a login, or None after telling why not."""
        if self.whole is not None:
            return await self.whole.admit(handler, person)
        verdict = await self.decide(person)
        if not verdict.allowed:
            self.refuse(handler, verdict.told, verdict.detail)
            return None
        return await self.enter(handler, person, verdict.admin)

    async def decide(self, person: Person) -> Verdict:
        """Return whether somebody whom the provider knows may enter."""
        return self.decider.decide(person, await asyncio.to_thread(self.identities.added))

    async def claim(self, person: Person) -> str:
        """Return the Unix name of somebody who may enter; raises as `Identities.claim`."""
        only = "" if self.account_socket else self.account
        kept = self.decider.named | await asyncio.to_thread(self.identities.added)
        return await asyncio.to_thread(self.identities.claim, person, kept, only, taken=frozenset(self.teams))

    async def enter(self, handler: Any, person: Person, admin: bool | None) -> dict[str, Any] | None:
        """Give somebody who may enter a name and an account; or None after telling why not."""
        try:
            name = await self.claim(person)
            await self.ensure(name)
        except Refused as refusal:
            self.refuse(handler, str(refusal), f"login of {person} refused: {refusal}")
            return None
        except HubwrightError as error:
            told = "You cannot be let in now. Try again in a minute, or tell the admin."
            self.refuse(handler, told, f"{person}: {error}")
            return None
        self.patrol.is_in(name)
        self._entering.add(name)
        self.log.info("%s is %s here", person, name)
        return {"name": name, "admin": admin, "groups": self.groups_of(person.groups)}

    def groups_of(self, told: Iterable[str]) -> list[str] | None:
        """Return the hub's groups of somebody of whom a provider has told these; None leaves those that he has."""
        return sorted(told) if self.tells_groups else None

    def refuse(self, handler: Any, told: str, detail: str) -> None:
        """Tell the person a sentence on the login page, and the admin the rest in the log."""
        self.log.warning("%s", detail)
        if handler is not None:
            handler.custom_login_error = told

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether somebody may enter; whoever comes from `admit` may."""
        if authentication is not None:
            return True
        return (await self.standing(username))[0].allowed

    # Staying in

    async def standing(self, name: str) -> tuple[Verdict, list[str] | None]:
        """Return what now holds for a Unix name, and its groups; what cannot be asked is as it was."""
        known = await asyncio.to_thread(self.identities.of, name)
        if not known and name in self.kept() | await asyncio.to_thread(self.identities.added):
            return Verdict(True), self.groups_of(())  # listed, and never here: not thrown out, and in no group
        verdict = Verdict(False, False, detail=f"{name} has no identity of this hub's providers.")
        again: Verdict | None = None
        for identity in known:
            if (way := self.way_of(identity)) is None:
                verdict = Verdict(False, False, detail=f"hub.yaml has no provider {identity.provider} any more.")
                continue
            verdict, groups = await self.verdict_of(identity, way)
            verdict = replace(verdict, grace=way.grace)
            if verdict.allowed and not verdict.renew:
                return verdict, groups
            again = again or (verdict if verdict.allowed else None)
        return again or verdict, None if again else []

    async def verdict_of(self, known: Known, way: OutsideAuthenticator) -> tuple[Verdict, list[str] | None]:
        """Return what now holds for one identity, and its groups."""
        try:
            person = await way.look_up(known)
        except NotRunning as error:
            self.log.warning("%s cannot be looked up, and stays as it was: %s", known, error)
            person = way.as_known(known)
        except Unasked as unasked:
            verdict = await self.decide(way.as_known(known))
            age = time.time() - known.seen
            if verdict.allowed and age > 2 * unasked.lasts:
                detail = f"{known} has not logged in for {age / 86400:.1f} days, and its provider cannot be asked."
                return Verdict(False, False, _OLD, detail), []
            return replace(verdict, renew=unasked.ended or age > unasked.lasts), self.groups_of(known.groups)
        if person is None:
            return Verdict(False, False, detail=f"{known} is not known there any more."), []
        if sorted(person.groups) != sorted(known.groups):
            await asyncio.to_thread(self.identities.update, known, person)
        return await self.decide(person), self.groups_of(person.groups)

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Follow what the provider and hub.yaml say now; who is out loses everything, after the time of grace."""
        verdict, groups = await self.standing(user.name)
        if verdict.allowed:
            self.patrol.is_in(user.name)
            return not verdict.renew and {"name": user.name, "admin": verdict.admin, "groups": groups}
        return not await self.patrol.throw_out(user.name, verdict)

    def begin(self, app: Any) -> None:
        """Begin to look; called once, while the hub starts."""
        if self.whole is None:
            self.patrol.begin(app, self.standing)

    # People on the hub's pages

    async def add_user(self, user: Any) -> None:
        """Note whom an admin has added, and make the Unix account.

        Raises:
            Refused: a name that cannot be served here.
        """
        if not isinstance(user, orm.User) and user.name not in self._entering:
            if self.account:
                self.check_can_be_served(user.name)
            await self.ensure(user.name)
            await asyncio.to_thread(self.identities.add, user.name)
        self._entering.discard(user.name)
        super().add_user(user)

    async def delete_user(self, user: Any) -> None:
        """Take somebody out; the name stays that identity's, and Unix account and home stay."""
        self._entering.discard(user.name)
        await asyncio.to_thread(self.identities.drop, user.name)
        try:
            await self.leave(user.name)
        except Refused as refusal:  # nobody enters by the group alone
            self.log.warning("%s", refusal)
        super().delete_user(user)
