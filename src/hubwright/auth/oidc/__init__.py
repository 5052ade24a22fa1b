"""Logging in at a provider of OpenID Connect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubwright.auth import oauth_section, outside_kind
from hubwright.auth.oidc.config import Config
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Rule
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "oidc"
LABEL = "OpenID Connect"


def check(config: Config, site: Site, way: str = "") -> list[Problem]:
    """Return what in this section, or in the files it names, cannot hold."""
    found = [*oauth_section.check(config, site, way)]
    if config.ca:
        found += outside_kind.unreadable(Path(config.ca), site, "hub.yaml auth.ca")
    if "openid" not in config.scopes:
        what = "lacks openid, without which a provider does not tell who somebody is."
        found.append(Problem("hub.yaml auth.scopes", what, "Add it."))
    return found


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]], way: str = "") -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.openid.OpenIDAuthenticator"
    c["OpenIDAuthenticator"] = {
        **oauth_section.settings(config, site, way, LABEL, c),
        "issuer": config.issuer,
        "scope": list(config.scopes),
        "name_claim": config.name,
        "groups_claim": config.groups,
        "short_domain": config.domain or "",
        "ca": config.ca or "",
    }


def probe(config: Config, site: Site, way: str = "") -> Iterator[Problem]:
    """Yield what is wrong with the provider: asks it for itself, and for its login page."""
    from hubwright.auth.openid import check_metadata

    try:
        found = oauth_section.discover(config.issuer, config.ca)
        check_metadata(found, config.issuer)
    except (OSError, ValueError) as error:
        yield Problem("hub.yaml auth.issuer", f"does not answer as a provider does: {error}.", "Is the address right?")
        return
    yield from oauth_section.probe(config, site, found["authorization_endpoint"], config.ca, way)


def look_up(config: Config, site: Site, login: str, rule: Rule, way: str = "") -> Seen:
    """Return what the lists make of somebody, before he logs in."""
    return oauth_section.expected(config, way, login, config.domain or "", rule)
