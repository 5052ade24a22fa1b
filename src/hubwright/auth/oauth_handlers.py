"""To a provider's own page and back, in the browser."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import LoginHandler
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler, _deserialize_state
from tornado.web import HTTPError

from hubwright.auth.login import WayHandler
from hubwright.errors import MachineError, NotRunning

SILENT = "{} does not answer as it should. Try again in a minute, or tell the admin."
BUTTON = """
<div class="service-login">
  {% if login_error %}<p class="login_error">{{ login_error | e }}</p>{% endif %}
  <p id="insecure-login-warning" class="hidden alert alert-warning">This page is not encrypted.</p>
  <a role="button" class="btn btn-jupyter btn-lg" href="{{ authenticator_login_url | e }}">
    Sign in with {{ authenticator.login_service | e }}
  </a>
</div>
"""


class BeginHandler(WayHandler, OAuthLoginHandler):
    """Send the browser to the provider, as soon as it is known where that is."""

    _leaving = False

    @property
    def authenticator(self) -> Any:
        """The provider's, whom oauthenticator asks where to go; for the page that stays here it is the hub's."""
        return self.way if self._leaving else super().authenticator

    async def get(self) -> None:
        """Redirect; when the provider does not answer, say so."""
        try:
            await self.way.discover()
        except (NotRunning, MachineError) as error:
            self.log.error("%s", error)
            self.set_status(503)
            self.finish(await _page(self, SILENT.format(self.way.login_service)))
            return
        self._leaving = True
        super().get()

    def _generate_state_id(self) -> str:
        """Return what must come back; it names the provider, so that no other's answer is taken for this one's."""
        return f"{self.way.provider}.{super()._generate_state_id()}"


class CallbackHandler(WayHandler, OAuthCallbackHandler, LoginHandler):
    """Where the provider sends the browser back to; whatever is wrong stands on the login page, in a sentence."""

    custom_login_error = ""

    async def get(self) -> None:
        """Let the person in, or say why not."""
        try:
            self.check_arguments()
        except HTTPError as error:
            self.log.warning("callback refused: %s", error.log_message)
            self.set_status(400)
            self.finish(await _page(self, self._sentence()))
            return
        user = await self.login_user()
        if user is None:
            self.set_status(403)
            self.finish(await _page(self, self.custom_login_error or "You cannot be let in."))
            return
        self._jupyterhub_user = user
        self.redirect(self.get_next_url(user))

    def check_state(self) -> None:
        """Take only what began in this browser, and at this provider."""
        cookie = self.get_state_cookie()
        super().check_state()
        if not str(_deserialize_state(cookie).get("state_id")).startswith(f"{self.way.provider}."):
            raise HTTPError(400, "this login began at another provider")

    def _sentence(self) -> str:
        service = self.way.login_service
        if error := self.get_argument("error", ""):
            words = self.get_argument("error_description", error)[:200]
            return f"{service} did not let you in: {words}."
        return "This login took too long, was used already, or began in another browser. Start it again."


async def _page(handler: Any, error: str) -> Any:
    return await LoginHandler._render(handler, login_error=error)
