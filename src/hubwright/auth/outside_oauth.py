"""Logging in at a provider's own page (OAuth 2, OpenID Connect): what the kinds share, on oauthenticator."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import jwt
from jupyterhub.handlers import LoginHandler
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthenticator, OAuthLoginHandler
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets import Dict, List, Unicode, default

from hubwright.auth.identities import Known
from hubwright.auth.outside import OutsideAuthenticator
from hubwright.auth.outside_kind import secret_in
from hubwright.auth.rule import Person
from hubwright.errors import MachineError, NotRunning, Refused

_LASTS = 3600.0
"""Seconds for which what a provider says of itself is taken as it was."""
_SIGNED = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What may sign: never `none`, and never a secret that both sides know."""
_SILENT = "{} does not answer as it should. Try again in a minute, or tell the admin."
_BUTTON = """
<div class="service-login">
  {% if login_error %}<p class="login_error">{{ login_error | e }}</p>{% endif %}
  <p id="insecure-login-warning" class="hidden alert alert-warning">This page is not encrypted.</p>
  <a role="button" class="btn btn-jupyter btn-lg" href="{{ authenticator_login_url | e }}">
    Sign in with {{ authenticator.login_service | e }}
  </a>
</div>
"""


@dataclass(eq=False)
class _Login:
    """What a login has left to ask the provider with; in memory only."""

    token: dict[str, Any]
    claims: dict[str, Any]
    """What the provider had signed then; verified once, since a signature of then need not hold now."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while asking: a provider may take a second use of one refresh token for a theft."""


class BeginHandler(OAuthLoginHandler):
    """Send the browser to the provider, as soon as it is known where that is."""

    async def get(self) -> None:
        """Redirect; when the provider does not answer, say so."""
        try:
            await self.authenticator.discover()
        except (NotRunning, MachineError) as error:
            self.log.error("%s", error)
            self.set_status(503)
            self.finish(await _page(self, _SILENT.format(self.authenticator.login_service)))
            return
        super().get()


class CallbackHandler(OAuthCallbackHandler, LoginHandler):
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

    def _sentence(self) -> str:
        service = self.authenticator.login_service
        if error := self.get_argument("error", ""):
            words = self.get_argument("error_description", error)[:200]
            return f"{service} did not let you in: {words}."
        return "This login took too long, was used already, or began in another browser. Start it again."


async def _page(handler: Any, error: str) -> Any:
    return await LoginHandler._render(handler, login_error=error)


class OutsideOAuthenticator(OutsideAuthenticator, OAuthenticator):
    """The part of an authenticator that is between the button and a `Person`."""

    login_handler = BeginHandler
    callback_handler = CallbackHandler

    secret_file = Unicode("", config=True, help="The file with the client's secret.")
    ca = Unicode("", config=True, help="A file with certificates to trust besides the machine's.")
    short_domain = Unicode("", config=True, help="The domain whose addresses lists may name without it.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.client_secret = secret_in(self.secret_file)
        if self.ca:
            self.http_request_kwargs = {"ca_certs": self.ca}
        self._logins: dict[tuple[str, str], _Login] = {}
        """By provider and subject."""

    def domain(self) -> str:
        """Return the domain whose addresses lists may name without it."""
        return self.short_domain

    def get_custom_html(self, base_url: str) -> str:
        """Return the button, with what went wrong above it."""
        return _BUTTON

    async def discover(self) -> None:
        """Learn where the provider is asked; nothing to learn by default."""

    async def signed(self, token: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider has signed in an answer to a code or a refresh; {} where it never signs.

        Raises:
            Refused: it should have, and has not, or for others than us.
        """
        return {}

    async def person(self, token: dict[str, Any], claims: dict[str, Any], told: dict[str, Any]) -> Person:
        """Return whom a provider has told of; `Refused` when that is nobody.

        Args:
            token: the answer to the code, or to a refresh.
            claims: what `signed` gave at the login.
            told: the answer of `userdata_url`.
        """
        raise NotImplementedError

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
            told = _SILENT.format(self.login_service)
            self.refuse(handler, told, f"{self.provider}: {getattr(error, 'log_message', None) or error}")
            return None
        model = await self.admit(handler, person)
        if model is not None:
            self._logins[person.provider, person.subject] = _Login(token, claims)
        return model

    def _broken(self, error: HTTPClientError) -> tuple[str, str]:
        answer = error.response.body.decode(errors="replace")[:300] if error.response is not None else ""
        detail = f"{self.provider}: the code or token was refused ({error}). {answer}".strip()
        if "redirect_uri" in answer:
            detail += f" The callback address registered there must be {self.oauth_callback_url}."
        if "invalid_client" in answer:
            detail += " Is client_id right, and the secret?"
        if "invalid_grant" in answer:
            return "This login took too long, or was used already. Start it again.", detail
        return _SILENT.format(self.login_service), detail

    async def look_up(self, known: Known) -> Person | None:
        """Ask the provider again while there is a token of this person to ask with; else it is as it was."""
        login = self._logins.get((known.provider, known.subject))
        if login is None:
            return await super().look_up(known)
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
            if self._logins.get((known.provider, known.subject)) not in (None, login):
                return await self.look_up(known)  # who has logged in again meanwhile has new tokens
            if error.code >= 500 or error.code == 429:  # 599 is Tornado's for no answer at all
                raise NotRunning(f"{self.login_service}: {error}") from error
            if error.response is not None and b"invalid_grant" in error.response.body:
                return None
            self._logins.pop((known.provider, known.subject), None)  # it is old; what was known at the login counts
            return await super().look_up(known)
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
        from hubwright.auth.admins import ADMIN_HANDLER

        self.begin(app)
        return [*OAuthenticator.get_handlers(self, app), ADMIN_HANDLER]


class OpenIDAuthenticator(OutsideOAuthenticator):
    """A provider of OpenID Connect, which tells of itself at its address."""

    issuer = Unicode("", config=True, help="The provider's address.")
    name_claim = Unicode("preferred_username", config=True, help="What of a person becomes the name.")
    groups_claim = Unicode("groups", config=True, help="What of a person are the groups; dots lead deeper.")
    hosted_domains = List(Unicode(), config=True, help="The domains (`hd`) whose people are let in; empty: all.")
    _metadata = Dict()

    @default("basic_auth")
    def _basic_auth_default(self) -> bool:
        return False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._discovered = 0.0
        self._keys: jwt.PyJWKSet | None = None
        self._lock = asyncio.Lock()

    async def discover(self) -> None:
        """Read what the provider says of itself, once an hour."""
        async with self._lock:
            if self._metadata and time.monotonic() < self._discovered + _LASTS:
                return
            address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                found = await self.httpfetch(address, method="GET", request_timeout=10, connect_timeout=5)
                check_metadata(found, self.issuer)
            except (HTTPClientError, HTTPError, OSError, ValueError) as error:
                raise NotRunning(f"{address} does not answer as it should: {error}") from error
            self.authorize_url = found["authorization_endpoint"]
            self.token_url, self.userdata_url = found["token_endpoint"], found["userinfo_endpoint"]
            self._metadata, self._keys, self._discovered = found, None, time.monotonic()

    async def signed(self, token: dict[str, Any]) -> dict[str, Any]:
        """Return what the ID token says."""
        return await self._verified(str(token.get("id_token") or ""))

    async def person(self, token: dict[str, Any], claims: dict[str, Any], told: dict[str, Any]) -> Person:
        """Return whom the signed claims and the provider's answer are about."""
        if told.get("sub") != claims["sub"]:
            raise Refused("The provider tells of two people at once.")
        told = {**claims, **told}
        login = told.get(self.name_claim)
        if not isinstance(login, str) or not login:
            raise Refused(
                f"{self.login_service} does not tell your {self.name_claim}.",
                remedy="The admin can ask for more with auth.scopes, or name another with auth.name.",
            )
        if self.name_claim == "email" and told.get("email_verified") is not True:
            raise Refused(f"{self.login_service} has not verified your address {login}.")
        if self.hosted_domains and told.get("hd") not in self.hosted_domains:
            raise Refused(f"{login} is not of {' or '.join(self.hosted_domains)}. Choose your other account.")
        login = login.lower() if "@" in login else login
        return Person(self.provider, claims["sub"], login, _groups(told, self.groups_claim), self.domain())

    async def _verified(self, text: str) -> dict[str, Any]:
        """Return what an ID token says; `Refused` unless the provider has signed it, for us, and not long ago."""
        try:
            header = jwt.get_unverified_header(text)
            key = await self._key(header.get("kid"))
            algorithm = header.get("alg")
            if algorithm not in _SIGNED:
                raise Refused("The provider's ID token is not signed.")
            return dict(
                jwt.decode(
                    text,
                    key,
                    algorithms=[algorithm],
                    audience=self.client_id,
                    issuer=self._metadata["issuer"],
                    leeway=60,
                    options={"require": ["exp", "iat", "sub", "aud", "iss"]},
                )
            )
        except jwt.PyJWKSetError as error:
            raise NotRunning(f"{self.login_service} does not tell its keys as it should: {error}") from error
        except jwt.ExpiredSignatureError as error:
            raise Refused("This login took too long. Start it again.") from error
        except jwt.PyJWTError as error:
            self.log.warning("an ID token of %s is not valid: %s", self.provider, error)
            raise Refused(f"{self.login_service} has not signed who you are. Tell the admin.") from error

    async def _key(self, kid: Any) -> Any:
        """Return the provider's key of that name; read anew when it is not among those that are known."""
        for fresh in (False, True):
            if self._keys is None or fresh:
                try:
                    found = await self.httpfetch(self._metadata["jwks_uri"], method="GET", request_timeout=10)
                except HTTPClientError as error:
                    raise NotRunning(f"{self.login_service} does not tell its keys: {error}") from error
                self._keys = jwt.PyJWKSet.from_dict(found)
            for key in self._keys.keys:
                if key.public_key_use in {None, "sig"} and (kid is None or key.key_id == kid):
                    return key.key
        raise jwt.InvalidKeyError(f"the provider has no key {kid}")


def check_metadata(found: Any, issuer: str) -> None:
    """Raise ValueError unless a provider tells of itself what is needed, and under its own address."""
    wanted = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    if not isinstance(found, dict) or any(not isinstance(found.get(name), str) for name in wanted):
        raise ValueError(f"it does not tell {', '.join(wanted)}")
    if found["issuer"].rstrip("/") != issuer.rstrip("/"):
        raise ValueError(f"it calls itself {found['issuer']}, and hub.yaml calls it {issuer}")
    insecure = [found[name] for name in wanted if issuer.startswith("https:") and not found[name].startswith("https:")]
    if insecure:
        raise ValueError(f"{insecure[0]} is not encrypted")


def _groups(told: dict[str, Any], claim: str) -> frozenset[str]:
    found: Any = told
    for step in claim.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    values = [found] if isinstance(found, str) else found
    return frozenset(str(value) for value in values if value) if isinstance(values, list) else frozenset()


class GitHubAuthenticator(OutsideOAuthenticator):
    """GitHub: its own names and numbers; organizations and teams are groups, `org` and `org/team`."""

    api = Unicode("https://api.github.com", config=True, help="Where GitHub's API is.")

    async def person(self, token: dict[str, Any], claims: dict[str, Any], told: dict[str, Any]) -> Person:
        """Return the person with the groups that the scopes let us see."""
        groups: set[str] = set()
        if "read:org" in self.scope:
            headers = self.build_userdata_request_headers(token["access_token"], token["token_type"])
            for path in ("user/orgs", "user/teams"):
                for page in range(1, 11):
                    url = f"{self.api}/{path}?per_page=100&page={page}"
                    found = await self.httpfetch(url, method="GET", headers=headers)
                    groups |= {_github_group(one) for one in found}
                    if len(found) < 100:
                        break
        return Person(self.provider, str(int(told["id"])), str(told["login"]).lower(), frozenset(groups))


def _github_group(one: dict[str, Any]) -> str:
    if "organization" in one:
        return f"{one['organization']['login']}/{one['slug']}".lower()
    return quote(str(one["login"]).lower(), safe="-")
