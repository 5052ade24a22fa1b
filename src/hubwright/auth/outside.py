"""What every authenticator does whose people are known elsewhere: who may enter, under which name, and for how long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from traitlets import Bool, Dict, Float, Unicode

from hubwright.auth.ask import end_membership, ensure_account
from hubwright.auth.identities import Identities, Known
from hubwright.auth.rule import Person, Rule, Verdict
from hubwright.errors import HubwrightError, NotRunning, Refused
from hubwright.fields import check_user_name

_FIRST_LOOK = 2.0
"""Seconds after the start of the hub until it is looked at who may still enter: hub.yaml may have changed."""


class OutsideAuthenticator(Authenticator):
    """The part of an authenticator that begins when a provider has said who somebody is."""

    provider = Unicode("", config=True, help="What identities of this provider begin with, as in `ldap:alice`.")
    state = Unicode("", config=True, help="The service's state folder; whose is which name lies in `secrets` below it.")
    public_url = Unicode("", config=True, help="How browsers reach the service.")
    account = Unicode("", config=True, help="Without a helper, the one account that can be served.")
    account_socket = Unicode("", config=True, help="The account helper's socket; empty when the parts are not root.")
    rule = Dict(config=True, help="Who may enter, as `Rule.plain` writes it.")
    grace = Float(0.0, config=True, help="Seconds that somebody who was taken out may go on.")
    look_every = Float(60.0, config=True, help="Seconds between looks at who may still enter.")

    manage_groups = Bool(True, help="Hub groups are the provider's, brought into step at each login and look.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.identities = Identities(Path(self.state, "secrets"))
        self._decider = Rule.parse(self.rule) if self.rule else Rule()
        self._entering: set[str] = set()
        self._out: dict[str, float] = {}
        """Since when somebody, by Unix name, is known to be out."""
        self._app: Any = None
        self._patrol: asyncio.Task[None] | None = None

    def normalize_username(self, username: str) -> str:
        """Return the name as it is: it is a Unix name already."""
        return username

    def validate_username(self, username: str) -> bool:
        """Whether it is a Unix account name."""
        try:
            check_user_name(username)
        except ValueError:
            return False
        return bool(super().validate_username(username))

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
            await self._ensure(name)
        except Refused as refusal:
            self.refuse(handler, str(refusal), f"login of {person} refused: {refusal}")
            return None
        except HubwrightError as error:
            told = "You cannot be let in now. Try again in a minute, or tell the admin."
            self.refuse(handler, told, f"{person}: {error}")
            return None
        self._out.pop(name, None)
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
            self._out.pop(user.name, None)
            return {"name": user.name, "admin": verdict.admin, "groups": groups}
        return not await self._throw_out(user.name, verdict)

    async def _throw_out(self, name: str, verdict: Verdict) -> bool:
        """End what somebody has here; False while the time of grace runs."""
        since = self._out.setdefault(name, time.monotonic())
        if time.monotonic() < since + self.grace:
            return False
        user = self._app.users[name] if self._app is not None else None
        if user is None:
            return True
        tokens = list(user.api_tokens)
        running = [server for server, spawner in user.spawners.items() if spawner.active]
        if tokens or running or user.admin or user.groups:
            self.log.warning("%s is out: sessions, %d tokens and %d servers end", name, len(tokens), len(running))
            self.log.warning("%s", verdict.detail)
        user.orm_user.cookie_id = orm.new_token()
        user.admin = False
        for token in tokens:
            self._app.db.delete(token)
        self._app.db.commit()
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

    async def _look(self) -> None:
        """Look again and again at everybody who has something here."""
        wait = _FIRST_LOOK
        while True:
            await asyncio.sleep(wait)
            wait = self.look_every
            for name in [user.name for user in self._app.db.query(orm.User)]:
                try:
                    await self._look_at(name)
                except Exception:  # whatever is wrong with one must not keep the others in; told, and tried again
                    self.log.exception("Whether %s may still enter is not known", name)

    async def _look_at(self, name: str) -> None:
        user = self._app.users.get(name)
        if user is None or not (user.api_tokens or user.active or name in self._out):
            return  # a session alone is looked at when it asks for something
        verdict, groups = await self.standing(name)
        if not verdict.allowed:
            await self._throw_out(name, verdict)
            return
        self._out.pop(name, None)
        user.sync_groups(groups)

    def begin(self, app: Any) -> None:
        """Begin to look; called once, while the hub starts."""
        self._app = app
        self._patrol = asyncio.get_running_loop().create_task(self._look())

    # People on the hub's pages

    async def add_user(self, user: Any) -> None:
        """Note whom an admin has added, and make the Unix account.

        Raises:
            Refused: a name that cannot be served here.
        """
        if not isinstance(user, orm.User) and user.name not in self._entering:
            if not self.account_socket and self.account and user.name != self.account:
                raise Refused(
                    f"This hub was not started by root, so it can serve only {self.account}.",
                    remedy="Start it as root to serve several people.",
                )
            await self._ensure(user.name)
            await asyncio.to_thread(self.identities.add, user.name)
        self._entering.discard(user.name)
        super().add_user(user)

    async def delete_user(self, user: Any) -> None:
        """Take somebody out; the name stays that identity's, and Unix account and home stay."""
        self._entering.discard(user.name)
        await asyncio.to_thread(self.identities.drop, user.name)
        if self.account_socket:
            try:
                await end_membership(Path(self.account_socket), user.name)
            except Refused as refusal:  # nobody enters by the group alone
                self.log.warning("%s", refusal)
        super().delete_user(user)

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Make the Unix account when it is missing; a refusal is shown on the page that starts the server."""
        try:
            await self._ensure(user.name)
        except HubwrightError as error:
            error.jupyterhub_message = str(error)  # type: ignore[attr-defined]
            raise

    async def _ensure(self, name: str) -> None:
        if self.account_socket:
            await ensure_account(Path(self.account_socket), name)
