"""Logging in with a GitHub account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubwright.auth import oauth_section, outside_kind
from hubwright.auth.github.config import Config
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Rule
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "github"
LABEL = "GitHub"


def check(config: Config, site: Site, way: str = "") -> list[Problem]:
    """Return what in this section cannot hold."""
    found = [*oauth_section.check(config, site, way)]
    if config.allow == "all":
        what = "lets in everybody who has a GitHub account."
        found.append(Problem("hub.yaml auth.allow", what, "Name people, organizations or teams.", "warning"))
    return found


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]], way: str = "") -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    server = config.server.rstrip("/")
    api = "https://api.github.com" if server == "https://github.com" else f"{server}/api/v3"
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.github.authenticator.GitHubAuthenticator"
    c["GitHubAuthenticator"] = {
        **oauth_section.settings(config, site, way, LABEL, c),
        "authorize_url": f"{server}/login/oauth/authorize",
        "token_url": f"{server}/login/oauth/access_token",
        "userdata_url": f"{api}/user",
        "api": api,
        "scope": ["read:org"] if outside_kind.groups_named(config) else [],
    }


def probe(config: Config, site: Site, way: str = "") -> Iterator[Problem]:
    """Yield what is wrong when GitHub is asked for its login page, and what it tells only to who is logged in there."""
    found = [*oauth_section.probe(config, site, f"{config.server.rstrip('/')}/login/oauth/authorize", None, way)]
    if found:
        yield from found
        return
    what = (
        "GitHub shows its login page before it looks at the callback address, so that it cannot be compared from here."
    )
    remedy = f"Compare by hand: the application registered there must have {oauth_section.callback(site, way)}."
    yield Problem("hub.yaml auth.client_id", what, remedy, "warning")


def look_up(config: Config, site: Site, login: str, rule: Rule, way: str = "") -> Seen:
    """Return what the lists make of somebody, before he logs in."""
    return oauth_section.expected(config, way, login, "", rule)
