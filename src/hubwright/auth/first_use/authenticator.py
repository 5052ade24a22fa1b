"""firstuseauthenticator, but a name belongs only to who holds its one-time link."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from firstuseauthenticator import FirstUseAuthenticator
from jupyterhub import orm
from jupyterhub._data import DATA_FILES_PATH
from jupyterhub.auth import Authenticator
from tornado.web import HTTPError
from traitlets import Unicode, default

from hubwright.auth.first_use import links
from hubwright.auth.first_use.store import Store, password_problem
from hubwright.auth.guessing import Guessing
from hubwright.auth.rule import Verdict
from hubwright.auth.unix_accounts import AccountAuthenticator
from hubwright.errors import HubwrightError, NotRunning, Refused

TEMPLATES = Path(__file__).parent / "templates"
_WRONG = "Wrong user name or password. The first time, open the one-time link that you were given."


class ClaimAuthenticator(AccountAuthenticator, FirstUseAuthenticator):
    """Log in with a password that was chosen through a one-time link."""

    state = Unicode("", config=True, help="The service's state folder; passwords lie in `secrets` below it.")
    public_url = Unicode("", config=True, help="How browsers reach the service; one-time links begin with it.")

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("check_passwords_on_startup", False)
        super().__init__(**kwargs)
        self.store = Store(Path(self.state, "secrets"))
        self._guessing = Guessing()
        if hasattr(self.parent, "template_paths"):
            stock = str(Path(DATA_FILES_PATH, "templates"))  # JupyterHub appends it again, behind ours
            others = [path for path in self.parent.template_paths if path != stock]
            self.parent.template_paths = [*others, str(TEMPLATES)]

    @default("allow_all")
    def _allow_all_default(self) -> bool:
        return False

    def normalize_username(self, username: str) -> str:
        """Return the name in small letters: whoever was given a link may type it as he likes."""
        return str(Authenticator.normalize_username(self, username))

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """Return the name when its password is right; else tell the login page why not."""
        name = self.normalize_username(data.get("username", ""))
        if not self.validate_username(name):
            handler.custom_login_error = _WRONG
            return None
        problem = await self.password_refusal(handler, name, data.get("password", ""))
        if problem:
            handler.custom_login_error = problem
            return None
        return name

    async def password_refusal(self, handler: Any, name: str, password: str) -> str:
        """Return "" for the right password, else what to tell; failures are counted by name and by address."""
        address = handler.request.remote_ip
        if refusal := self._guessing.refusal(name, address):
            return refusal
        if not await asyncio.to_thread(self.store.verify, name, password):
            return _WRONG
        self._guessing.right(name, address)
        return ""

    def reset_password(self, username: str, new_password: str) -> str:
        """Set a password, as upstream does; returns the sentence for the page."""
        if problem := password_problem(new_password, self.min_password_length):
            return problem
        self.store.set(username, new_password)
        return "Your password has been changed successfully!"

    async def claim(self, name: str, token: str, password: str) -> str:
        """Use a one-time link up; return "" or why not."""
        return await asyncio.to_thread(self.store.claim, name, token, password)

    def kept(self) -> frozenset[str]:
        """Return the names that are people's of this way, before they come; blocks."""
        return self.store.names() | self.allowed_users | self.admin_users

    async def stands(self, name: str) -> Verdict:
        """Return whether somebody may still enter, where there are several ways: who has a password or a link may."""
        state = await asyncio.to_thread(self.store.state, name)
        return Verdict(state != "none", None if state != "none" else False, detail=f"{name} has no password any more.")

    async def new_link(self, name: str) -> str:
        """Return a new one-time link; the person's older link and password stop working.

        Raises:
            Refused: somebody has this name who comes by another way.
        """
        if self.whole is not None:
            await asyncio.to_thread(self.whole.check_free, name, self.provider)
        token = await asyncio.to_thread(self.store.new_link, name)
        self.log.info("A new one-time link was made for %s", name)
        return links.link(self.public_url, name, token)

    async def add_user(self, user: Any) -> None:
        """Let a person in and make the Unix account.

        Raises:
            Refused: a name that cannot be served here. When the hub starts, it only warns: the account is looked for
                again before each server starts.
        """
        self.check_can_be_served(user.name)
        if self.whole is not None:
            await asyncio.to_thread(self.whole.check_free, user.name, self.provider)
        starting = isinstance(user, orm.User)
        if starting:
            super().add_user(user)
        try:
            await self.ensure(user.name)
        except HubwrightError as error:
            if not starting:
                raise
            self.log.warning("%s", error)
        if not starting:
            super().add_user(user)

    async def delete_user(self, user: Any) -> None:
        """Forget password and link, and end the membership in the service's group; Unix account and home stay."""
        self.store.forget(user.name)
        try:
            await self.leave(user.name)
        except Refused as refusal:  # nobody enters by the group alone
            self.log.warning("%s", refusal)
        except NotRunning as error:
            raise HTTPError(503, str(error)) from error
        Authenticator.delete_user(self, user)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return login, claim, change of password, and the admins' page of people."""
        from hubwright.auth.first_use import handlers

        return handlers.HANDLERS
