"""A provider of OpenID Connect: where it is asked, and whether what it says of a person is signed by it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets import Dict, List, Unicode, default

from hubwright.auth.outside_oauth import OutsideOAuthenticator
from hubwright.auth.rule import Person
from hubwright.errors import NotRunning, Refused

_LASTS = 3600.0
"""Seconds for which what a provider says of itself is taken as it was."""
_SIGNED = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What may sign: never `none`, and never a secret that both sides know."""


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
