"""What every authenticator does whose people are known elsewhere: who may enter, under which name, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyterhub import orm
from traitlets import Bool, Dict, Float, Unicode

from hubwright.auth.identities import Identities, Known
from hubwright.auth.patrol import Patrol
from hubwright.auth.rule import Person, Rule, Verdict
from hubwright.auth.unix_accounts import AccountAuthenticator
from hubwright.errors import HubwrightError, NotRunning, Refused


class OutsideAuthenticator(AccountAuthenticator):
    """The part of an authenticator that begins when a provider has said who somebody is."""

    provider = Unicode("", config=True, help="What identities of this provider begin with, as in `ldap:alice`.")
    state = Unicode("", config=True, help="The service's state folder; whose is which name lies in `secrets` below it.")
    public_url = Unicode("", config=True, help="How browsers reach the service.")
    rule = Dict(config=True, help="Who may enter, as `Rule.plain` writes it.")
    grace = Float(0.0, config=True, help="Seconds that somebody who was taken out may go on.")
    look_every = Float(60.0, config=True, help="Seconds between looks at who may still enter.")

    manage_groups = Bool(True, help="Hub groups are the provider's, brought into step at each login and look.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.identities = Identities(Path(self.state, "secrets"))
        self._decider = Rule.parse(self.rule) if self.rule else Rule()
        self._entering: set[str] = set()
        self.patrol = Patrol(self.grace, self.look_every, self.log)

    # What kinds add

    def rule_for(self, known: Known) -> tuple[Rule, str] | None:
        """Return the rule for an identity and the domain that lists may leave out; None: it comes from nowhere now."""
        return (self._decider, self.domain()) if known.provider == self.provider else None

    def domain(self) -> str:
        """Return the one domain whose addresses lists may name without it, or ""."""
        return ""

    async def look_up(self, known: Known) -> Person | None:
        """Ask the provider for somebody who is not here; None when it knows him no more.

        Without a way to ask, it is as it was at the last login.

        Raises:
            NotRunning: the provider does not answer, so that nothing is known.
        """
        return Person(known.provider, known.subject, known.login, frozenset(known.groups), self.domain())

    # Coming in

    async def admit(self, handler: Any, person: Person) -> dict[str, Any] | None:
        """Return what JupyterHub takes for a login, or None after telling why not."""
        verdict = self._decider.decide(person, await asyncio.to_thread(self.identities.added))
        if not verdict.allowed:
            self.refuse(handler, verdict.told, verdict.detail)
            return None
        only = "" if self.account_socket else self.account
        try:
            kept = self._decider.named | await asyncio.to_thread(self.identities.added)
            name = await asyncio.to_thread(self.identities.claim, person, kept, only)
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
        return {"name": name, "admin": verdict.admin, "groups": sorted(person.groups)}

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

    async def standing(self, name: str) -> tuple[Verdict, list[str]]:
        """Return what now holds for a Unix name, and its groups; what cannot be asked is as it was."""
        known = await asyncio.to_thread(self.identities.of, name)
        added = await asyncio.to_thread(self.identities.added)
        if not known and name in self._decider.named | added:
            return Verdict(True), []  # in a list, and never here: not to be thrown out, and nobody is in
        verdict = Verdict(False, False, detail=f"{name} has no identity of this hub's providers.")
        for identity in known:
            if (found := self.rule_for(identity)) is None:
                verdict = Verdict(False, False, detail=f"hub.yaml has no provider {identity.provider} any more.")
                continue
            rule, domain = found
            try:
                person = await self.look_up(identity)
            except NotRunning as error:
                self.log.warning("%s cannot be looked up, and stays as it was: %s", identity, error)
                person = Person(identity.provider, identity.subject, identity.login, frozenset(identity.groups), domain)
            if person is None:
                verdict = Verdict(False, False, detail=f"{identity} is not known there any more.")
                continue
            if sorted(person.groups) != sorted(identity.groups):
                await asyncio.to_thread(self.identities.update, identity, person)
            verdict = rule.decide(person, added)
            if verdict.allowed:
                return verdict, sorted(person.groups)
        return verdict, []

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Follow what the provider and hub.yaml say now; who is out loses everything, after the time of grace."""
        verdict, groups = await self.standing(user.name)
        if verdict.allowed:
            self.patrol.is_in(user.name)
            return {"name": user.name, "admin": verdict.admin, "groups": groups}
        return not await self.patrol.throw_out(user.name, verdict)

    def begin(self, app: Any) -> None:
        """Begin to look; called once, while the hub starts."""
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
