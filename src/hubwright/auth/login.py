"""The login page's handler: what kept a person out, in the authenticator's own words."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import LoginHandler


class TellingLoginHandler(LoginHandler):
    """JupyterHub's login form; `custom_login_error`, set by an authenticator, replaces its general sentence."""

    custom_login_error = ""

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
