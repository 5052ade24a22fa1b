"""The login page's handler: what kept a person out, in the authenticator's own words."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from jupyterhub.handlers import BaseHandler, LoginHandler
from jupyterhub.utils import maybe_future


class WayHandler(BaseHandler):
    """A page of a way to log in: of the only one, or of one of several, whose authenticator it has in `bound`."""

    bound: Any = None

    @property
    def way(self) -> Any:
        """The authenticator of the way; `authenticator` is the whole hub's."""
        return self.bound or self.settings["authenticator"]

    def authenticate(self, data: Any) -> Awaitable[Any]:
        """Have the way say who it is."""
        return maybe_future(self.way.get_authenticated_user(self, data))


class TellingLoginHandler(WayHandler, LoginHandler):
    """JupyterHub's login form; `custom_login_error`, set by an authenticator, replaces its general sentence."""

    custom_login_error = ""

    async def get(self) -> None:
        """Show the form; that of one way among several stands on the common page."""
        if self.bound is not None:
            self.redirect(f"{self.settings['login_url']}{f'?{self.request.query}' if self.request.query else ''}")
            return
        await super().get()

    async def post(self) -> None:
        """Log in; a form without the fields a browser would send is a mistake of the sender, not an error of ours."""
        for field in ("username", "password"):
            if len(self.get_body_arguments(field, strip=False)) != 1:
                self.set_status(400)
                self.finish(await self._render(login_error="Type a user name and a password."))
                return
        await super().post()

    def _render(self, login_error: str | None = None, username: str | None = None, **more: Any) -> Any:
        return super()._render(login_error=self.custom_login_error or login_error, username=username, **more)
