"""What the sections of kinds share that send people to a provider's own page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field

from hubwright.auth import outside_kind
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Outside, Person, Rule
from hubwright.errors import Problem
from hubwright.fields import Duration, Site, shown

_GOOGLES_ERROR = "/signin/oauth/error"
"""Where Google sends a browser to be told what is wrong with the client; the answer itself is a plain 302."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _check_issuer(value: str) -> str:
    example = 'must be an address such as "https://login.example.org/realms/lab"'
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{example}, not {shown(value)}.") from error
    good = parts.hostname and port != 0 and "@" not in parts.netloc and not parts.query and not parts.fragment
    if not good or not value.isprintable() or " " in value or parts.scheme not in {"https", "http"}:
        raise ValueError(f"{example}, not {shown(value)}.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"must begin with https://, not {shown(value)}: otherwise anybody on the way could log in.")
    return value


Issuer = Annotated[str, AfterValidator(_check_issuer)]


class OAuthSection(Outside):
    """A provider where this hub is registered as a client."""

    kind: str

    client_id: str = Field(min_length=1, max_length=512, description="What the provider calls this hub.")
    label: str | None = Field(
        default=None, min_length=1, max_length=60, description="What stands on the button after `Sign in with`."
    )
    login_lasts: Annotated[Duration, Field(ge=60)] = Field(
        default=7 * 86400.0,
        description="How long a login counts when the provider cannot be asked about the person any more. Then the "
        "person has to log in again; after twice that time servers and tokens end, too.",
    )


def callback(site: Site, way: str = "") -> str:
    """Return the callback address that has to be registered at the provider; that of a way, where there are many."""
    return f"{site.public_url}hub/oauth_callback{f'/{way}' if way else ''}"


def settings(config: OAuthSection, site: Site, way: str, label: str, c: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the settings that every authenticator on oauthenticator has; `way` is "" for the only one."""
    provider = way or config.kind
    return {
        **outside_kind.settings(config, site, provider, c),
        "client_id": config.client_id,
        "secret_file": str(site.secrets / f"{provider}.secret"),
        "oauth_callback_url": callback(site, way),
        "login_lasts": config.login_lasts,
        "login_service": config.label or label,
        "enable_pkce": True,
    }


def check(config: OAuthSection, site: Site, way: str) -> Iterator[Problem]:
    """Yield what keeps any of these kinds from working."""
    provider = way or config.kind
    yield from outside_kind.missing_package("oauthenticator", "oauth", "hub.yaml auth.kind")
    what = f"the secret that {provider} gave for this hub"
    yield from outside_kind.missing_secret(site, f"{provider}.secret", "hub.yaml auth.client_id", what)
    host = urlsplit(site.public_url).hostname or ""
    if not site.public_url.startswith("https:") and host not in _LOOPBACK:
        what = f"people come back from the provider to {callback(site, way)}, which is not encrypted."
        yield Problem("hub.yaml hub.url", what, "Put HTTPS before the hub, and name its address here.", "warning")


def expected(config: OAuthSection, way: str, login: str, domain: str, rule: Rule) -> Seen:
    """Return what the lists of hub.yaml make of somebody of whom a provider tells nothing before he logs in."""
    called = login.lower() if "@" in login or config.kind == "github" else login
    person = Person(way or config.kind, "", called, domain=domain)
    verdict = rule.decide(person)
    if verdict.allowed or not (rule.groups or rule.admin_groups):
        return Seen(person, verdict)
    why = "No list names him. The provider tells groups at the login only, so that they may let him in."
    return Seen(person, replace(verdict, detail=why))


def discover(issuer: str, ca: str | None) -> dict[str, Any]:
    """Return what a provider says of itself; raises OSError or ValueError."""
    import httpx  # not before somebody is asked: it takes a quarter of a command's time to begin

    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found: dict[str, Any] = httpx.get(address, timeout=10, verify=_trust(ca)).raise_for_status().json()
    except httpx.HTTPError as error:
        raise OSError(str(error)) from error
    return found


def probe(config: OAuthSection, site: Site, authorize: str, ca: str | None, way: str) -> Iterator[Problem]:
    """Yield what a provider's login page says of this hub: unknown client, another callback address."""
    import httpx

    query = {
        "client_id": config.client_id,
        "redirect_uri": callback(site, way),
        "response_type": "code",
        "scope": "openid",
        "state": "check",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    try:
        answer = httpx.get(authorize, params=query, timeout=10, verify=_trust(ca))
    except (httpx.HTTPError, OSError) as error:
        yield Problem("hub.yaml auth.kind", f"{authorize} cannot be reached: {error}.")
        return
    where = answer.headers.get("Location", "")
    yield from judge(answer.status_code, f"{answer.text} {where} {_auth_error(where)}", where, callback(site, way))


def judge(status: int, said: str, location: str, callback: str) -> Iterator[Problem]:
    """Yield what an answer says against this hub: its status, its words, and where it sends the browser."""
    said = said.lower()
    failed = status >= 400 or urlsplit(location).path.startswith(_GOOGLES_ERROR)
    if "redirect_uri" in said and (failed or "error" in said):
        what = f"the provider does not know the callback address of this hub, {callback}."
        yield Problem("hub.yaml hub.url", what, "Register exactly this address there, or put hub.url right.")
    elif "invalid_client" in said or failed:
        what = f"the provider refuses this hub (answer {status})."
        yield Problem("hub.yaml auth.client_id", what, "Is the client registered there, by this id?")


def _auth_error(location: str) -> str:
    """Return the words in `authError` of an address, where Google says in base64 what is wrong, or ""."""
    coded = parse_qs(urlsplit(location).query).get("authError", [""])[0]
    coded = coded.replace(" ", "+").replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(coded + "=" * (-len(coded) % 4))
    except (binascii.Error, ValueError):
        return ""
    return raw.decode(errors="replace")


def _trust(ca: str | None) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(Path(ca))) if ca else True
