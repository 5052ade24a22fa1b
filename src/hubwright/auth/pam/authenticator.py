"""Unix accounts: the password is checked by the account helper, which is root, or by unix_chkpwd for oneself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tornado.web import HTTPError
from traitlets import Bool, Float, List, Unicode

from hubwright.auth.ask import ask
from hubwright.auth.guessing import Guessing
from hubwright.auth.login import TellingLoginHandler
from hubwright.auth.patrol import Patrol
from hubwright.auth.rule import Verdict
from hubwright.auth.unix_accounts import AccountAuthenticator
from hubwright.errors import NotRunning, Refused
from hubwright.machine.accounts import USERS_GROUP
from hubwright.machine.policy import find_account, group_names

_WRONG = "Wrong user name or password, or this account may not use the hub."
_DEADLINE = 20.0
_LOOK_TAKES = 5.0
"""Seconds for the account helper to tell of one account; who cannot be looked at stays as he was."""


class HelperPAMAuthenticator(AccountAuthenticator):
    """Log in with the name and password of a Unix account of this machine."""

    service = Unicode("login", config=True, help="Without a helper, the PAM service that checks the password.")
    allow_every_account = Bool(False, config=True, help="Let in every account that the machine's policy serves.")
    allow_names = List(Unicode(), config=True, help="Accounts to let in.")
    allow_groups = List(Unicode(), config=True, help="Unix groups whose members to let in.")
    admin_groups = List(Unicode(), config=True, help="Unix groups whose members are admins.")
    grace = Float(0.0, config=True, help="Seconds that somebody who was taken out may go on.")
    look_every = Float(60.0, config=True, help="Seconds between looks at who may still enter.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patrol = Patrol(self.grace, self.look_every, self.log, groups=False)
        self._guessing = Guessing()

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Make nothing: the account is there, or nobody could have logged in."""

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """Return the name and groups of the account when its password is right; else tell the login page why not."""
        name, password = data.get("username", ""), data.get("password", "")
        if not self.validate_username(name):
            self._tell(handler, _WRONG)
            return None
        address = handler.request.remote_ip
        if refusal := self._guessing.refusal(name, address):  # the account helper counts by name, and knows no address
            self.log.warning("too many failures for %s from %s", name, address)
            self._tell(handler, refusal)
            return None
        try:
            if self.account_socket:
                answer = await ask(
                    Path(self.account_socket), {"op": "authenticate", "user": name, "password": password}
                )
            else:
                answer = await self._check_own(name, password)
        except NotRunning as error:
            self._guessing.unclear(name, address)
            self.log.error("%s", error)
            self._tell(handler, "Passwords cannot be checked now. Try again in a minute, or tell the admin.")
            return None
        if not answer.get("ok"):
            self._tell(handler, str(answer.get("error", _WRONG)))
            return None
        self._guessing.right(name, address)
        groups = await asyncio.to_thread(_groups_of, name)
        if not self._allows(name, groups):
            self.log.warning("%s has the right password and may not use this hub (auth.allow).", name)
            self._tell(handler, "Your account may not use this hub. Ask the admin to add you.")
            return None
        return {"name": name, "admin": self._is_admin(name, groups)}

    def kept(self) -> frozenset[str]:
        """Return the names that lists have for people of this way."""
        return frozenset({*self.allow_names, *self.allowed_users, *self.admin_users})

    async def stands(self, name: str) -> Verdict:
        """Return whether somebody may still enter."""
        groups = await asyncio.to_thread(_groups_of, name)
        if not groups or not self._allows(name, groups):
            return Verdict(False, False, detail=f"The account {name} may not use this hub any more.")
        if why := await self._why_out(name):
            return Verdict(False, False, detail=why)
        return Verdict(True, self._is_admin(name, groups))

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether a person with the right password may enter."""
        return self._allows(username, await asyncio.to_thread(_groups_of, username))

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Follow changes of accounts and groups: who is out loses everything, after the time of grace."""
        verdict = await self.stands(user.name)
        if not verdict.allowed:
            return not await self.patrol.throw_out(user.name, verdict)
        self.patrol.is_in(user.name)
        return {"name": user.name, "admin": verdict.admin} if self.admin_groups else True

    async def _standing(self, name: str) -> tuple[Verdict, list[str] | None]:
        return await self.stands(name), None

    async def _why_out(self, name: str) -> str:
        """Return why an account that is there may not be used any more, or ""; only the helper can see that."""
        if not self.account_socket:
            return ""
        try:
            answer = await ask(Path(self.account_socket), {"op": "standing", "user": name}, _LOOK_TAKES)
        except NotRunning as error:
            self.log.warning("%s cannot be looked at, and stays as it was: %s", name, error)
            return ""
        return str(answer.get("out", ""))

    async def delete_user(self, user: Any) -> None:
        """End the membership in the service's group, which would let them in again; account and home stay."""
        try:
            await self.leave(user.name)
        except (Refused, NotRunning) as error:  # the person stays, rather than seem to be out
            raise HTTPError(409 if isinstance(error, Refused) else 503, str(error)) from error
        super().delete_user(user)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the login form and what the command line asks for, and begin to look who may still enter."""
        from hubwright.auth.admins import COMMAND_HANDLERS

        if self.whole is None:
            self.patrol.begin(app, self._standing)
        return [("/login", TellingLoginHandler), *COMMAND_HANDLERS]

    def _allows(self, name: str, groups: list[str]) -> bool:
        if not self.account_socket:
            return name == self.account
        wanted = {*self.allow_groups, *self.admin_groups, USERS_GROUP}
        named = name in {*self.allow_names, *self.allowed_users, *self.admin_users}
        return self.allow_every_account or named or not wanted.isdisjoint(groups)

    def _is_admin(self, name: str, groups: list[str]) -> bool | None:
        """Whether an admin; None, "as it was", where no group decides it."""
        if name in self.admin_users or not set(self.admin_groups).isdisjoint(groups):
            return True
        return False if self.admin_groups else None

    async def _check_own(self, name: str, password: str) -> dict[str, Any]:
        """Check the password of whoever runs the hub; PAM's helper program allows an ordinary user just that."""
        if name != self.account:
            return {"error": f"This hub was not started by root, so only {self.account} can log in."}
        try:
            async with asyncio.timeout(_DEADLINE):
                right = await asyncio.to_thread(_check_own_password, name, password, self.service)
        except TimeoutError as error:
            raise NotRunning(f"PAM did not answer in {_DEADLINE:.0f} s.") from error
        return {"ok": right} | ({} if right else {"error": _WRONG})

    def _tell(self, handler: Any, words: str) -> None:
        if handler is not None:
            handler.custom_login_error = words


def _groups_of(name: str) -> list[str]:
    entry = find_account(name)
    return group_names(entry) if entry is not None else []


def _check_own_password(name: str, password: str, service: str) -> bool:
    import pamela

    if not password or "\0" in password or len(password) > 512:
        return False
    try:
        pamela.authenticate(name, (password.encode(),), service=service)
    except (pamela.PAMError, UnicodeEncodeError):
        return False
    return True
