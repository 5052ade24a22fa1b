"""Logging in at a provider's own page (OAuth 2, OpenID Connect): what the kinds share, on oauthenticator."""

from __future__ import annotations

import asyncio
import re
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from oauthenticator.oauth2 import OAuthenticator
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets import Float, Unicode

from hubwright.auth.identities import Known
from hubwright.auth.oauth_handlers import BUTTON, SILENT, BeginHandler, CallbackHandler
from hubwright.auth.outside import OutsideAuthenticator, Unasked
from hubwright.auth.outside_kind import secret_in
from hubwright.auth.rule import Person
from hubwright.errors import MachineError, NotRunning, Refused

USED = "This login took too long, or was used already. Start it again."
_GONE = re.compile(
    r"disabled|deactivated|suspended|blocked|deleted|not exist|not found|no such user|invalid user|AADSTS500(34|57)",
    re.IGNORECASE,
)
"""What Keycloak, Entra ID, Okta and others say beside `invalid_grant` when it is the account that has ended, and not
only a session: RFC 6749 has one word for both."""


@dataclass(eq=False)
class _Login:
    """What a login has left to ask the provider with; in memory only."""

    token: dict[str, Any]
    claims: dict[str, Any]
    """What the provider had signed then; verified once, since a signature of then need not hold now."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while asking: a provider may take a second use of one refresh token for a theft."""


class _Abstract(type(OAuthenticator), ABCMeta):  # type: ignore[misc]
    """A class of traits that cannot be made while a method of it is abstract."""


class OutsideOAuthenticator(OutsideAuthenticator, OAuthenticator, metaclass=_Abstract):
    """The part of an authenticator that is between the button and a `Person`."""

    login_handler = BeginHandler
    callback_handler = CallbackHandler

    secret_file = Unicode("", config=True, help="The file with the client's secret.")
    ca = Unicode("", config=True, help="A file with certificates to trust besides the machine's.")
    login_lasts = Float(7 * 86400.0, config=True, help="Seconds that a login counts when nobody can be asked.")
    short_domain = Unicode("", config=True, help="The domain whose addresses lists may name without it.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.client_secret = secret_in(self.secret_file)
        if self.ca:
            self.http_request_kwargs = {"ca_certs": self.ca}
        self._logins: dict[tuple[str, str], _Login] = {}
        """By provider and subject."""
        self._ended: set[tuple[str, str]] = set()
        """Whose session the provider has ended, so that they have to log in again."""

    def domain(self) -> str:
        """Return the domain whose addresses lists may name without it."""
        return self.short_domain

    def get_custom_html(self, base_url: str) -> str:
        """Return the button, with what went wrong above it."""
        return BUTTON

    async def discover(self) -> None:
        """Learn where the provider is asked; nothing to learn by default."""

    async def signed(self, token: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider has signed in an answer to a code or a refresh; {} where it never signs.

        Raises:
            Refused: it should have, and has not, or for others than us.
        """
        return {}

    @abstractmethod
    async def person(self, token: dict[str, Any], claims: dict[str, Any], told: dict[str, Any]) -> Person:
        """Return whom a provider has told of; `Refused` when that is nobody.

        Args:
            token: the answer to the code, or to a refresh.
            claims: what `signed` gave at the login.
            told: the answer of `userdata_url`.
        """

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> dict[str, Any] | None:
        """Exchange the code for a person, and return him if he may enter; else tell the login page why not."""
        try:
            await self.discover()
            token = await self.get_token_info(handler, self.build_access_tokens_request_params(handler, data))
            claims = await self.signed(token)
            person = await self.person(token, claims, await self.token_to_user(token))
        except Refused as refusal:
            self.refuse(handler, str(refusal), f"login by {self.provider} refused: {refusal}")
            return None
        except HTTPClientError as error:
            self.refuse(handler, *self._broken(error))
            return None
        except (HTTPError, NotRunning, MachineError, OSError, ValueError, KeyError) as error:
            told = SILENT.format(self.login_service)
            self.refuse(handler, told, f"{self.provider}: {getattr(error, 'log_message', None) or error}")
            return None
        model = await self.admit(handler, person)
        if model is not None:
            self._logins[person.provider, person.subject] = _Login(token, claims)
            self._ended.discard((person.provider, person.subject))
        return model

    def _broken(self, error: HTTPClientError) -> tuple[str, str]:
        answer = error.response.body.decode(errors="replace")[:300] if error.response is not None else ""
        detail = f"{self.provider}: the code or token was refused ({error}). {answer}".strip()
        if "redirect_uri" in answer:
            detail += f" The callback address registered there must be {self.oauth_callback_url}."
        if "invalid_client" in answer:
            detail += " Is client_id right, and the secret?"
        if "invalid_grant" in answer:
            return USED, detail
        return SILENT.format(self.login_service), detail

    async def look_up(self, known: Known) -> Person | None:
        """Ask the provider again while there is a token of this person to ask with."""
        whose = known.provider, known.subject
        if (login := self._logins.get(whose)) is None:
            raise Unasked(self.login_lasts, ended=whose in self._ended)
        try:
            await self.discover()
            async with login.lock:
                person = await self._asked(login, known.subject)
            if person.subject != known.subject:
                raise Refused("The provider tells of another person.")
            return person
        except Refused as refusal:
            self.log.warning("%s is known there no more: %s", known, refusal)
            return None
        except HTTPClientError as error:
            if self._logins.get(whose) not in (None, login):
                return await self.look_up(known)  # who has logged in again meanwhile has new tokens
            if error.code >= 500 or error.code == 429:  # 599 is Tornado's for no answer at all
                raise NotRunning(f"{self.login_service}: {error}") from error
            answer = error.response.body.decode(errors="replace") if error.response is not None else ""
            if "invalid_grant" in answer and _GONE.search(answer):
                self.log.warning("%s is known there no more: %s", known, answer[:300])
                return None
            self._logins.pop(whose, None)
            if "invalid_grant" in answer:  # the provider's session is over; that says nothing of the person
                self._ended.add(whose)
            raise Unasked(self.login_lasts, ended=whose in self._ended) from error
        except (HTTPError, MachineError, OSError, ValueError, KeyError) as error:
            raise NotRunning(f"{self.login_service}: {error}") from error

    async def _asked(self, login: _Login, subject: str) -> Person:
        """Return whom the provider tells of now, with a new access token when the old one is refused."""
        try:
            return await self.person(login.token, login.claims, await self.token_to_user(login.token))
        except HTTPClientError as error:
            if error.code not in {401, 403} or "refresh_token" not in login.token:
                raise
        params = self.build_refresh_token_request_params(login.token["refresh_token"])
        fresh = await self.get_token_info(None, params)
        login.token = {**login.token, **fresh}
        if fresh.get("id_token"):
            try:
                claims = await self.signed(fresh)
            except Refused as refusal:  # nothing against the person: the next look asks without it
                raise NotRunning(f"{self.login_service}: after a refresh: {refusal}") from refusal
            if claims.get("sub", subject) != subject:
                raise Refused("The provider's new ID token is another person's.")
            login.claims = {**login.claims, **claims}
        return await self.person(login.token, login.claims, await self.token_to_user(login.token))

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> bool | dict[str, Any]:
        """Follow what the provider and hub.yaml say now."""
        return await OutsideAuthenticator.refresh_user(self, user, handler)

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether somebody may enter."""
        return await OutsideAuthenticator.check_allowed(self, username, authentication)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """Return the way to the provider and back, and the command line's way to make an admin."""
        from hubwright.auth.admins import COMMAND_HANDLERS

        self.begin(app)
        return [*OAuthenticator.get_handlers(self, app), *COMMAND_HANDLERS]
