"""Logging in with a Google account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubwright.auth import oauth_section, outside_kind
from hubwright.auth.google.config import Config
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Rule
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "google"
LABEL = "Google"
ISSUER = "https://accounts.google.com"


def check(config: Config, site: Site, way: str = "") -> list[Problem]:
    """Return what in this section cannot hold."""
    found = [*oauth_section.check(config, site, way)]
    if outside_kind.groups_named(config):
        what = "names groups, and Google tells none at a login."
        found.append(Problem("hub.yaml auth.allow", what, "Name people by address, or use a hosted_domain."))
    if config.allow == "all" and not config.hosted_domain:
        what = "lets in everybody who has a Google account."
        found.append(Problem("hub.yaml auth.allow", what, "Name a hosted_domain, or people.", "warning"))
    return found


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]], way: str = "") -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.openid.OpenIDAuthenticator"
    c["OpenIDAuthenticator"] = {
        **oauth_section.settings(config, site, way, LABEL, c),
        "issuer": ISSUER,
        "scope": ["openid", "email"],
        "name_claim": "email",
        "hosted_domains": list(config.hosted_domain),
        "short_domain": config.short_domain,
        "tells_groups": config.tells_groups,
    }
    if domain := config.short_domain:
        c["OpenIDAuthenticator"]["extra_authorize_params"] = {"hd": domain}


def probe(config: Config, site: Site, way: str = "") -> Iterator[Problem]:
    """Yield what is wrong when Google is asked for its login page."""
    try:
        found = oauth_section.discover(ISSUER, None)
    except (OSError, ValueError) as error:
        yield Problem("hub.yaml auth.kind", f"{ISSUER} cannot be reached: {error}.")
        return
    yield from oauth_section.probe(config, site, found["authorization_endpoint"], None, way)


def look_up(config: Config, site: Site, login: str, rule: Rule, way: str = "") -> Seen:
    """Return what the lists make of somebody, before he logs in."""
    return oauth_section.expected(config, way, login, config.short_domain, rule)
