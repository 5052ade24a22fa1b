"""Logging in with the passwords of a directory (LDAP, Active Directory)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubwright.auth import outside_kind
from hubwright.auth.ldap.config import Config
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Rule
from hubwright.errors import Problem, Severity
from hubwright.fields import Site

NAME = "ldap"
LABEL = "your directory account"


def check(config: Config, site: Site, way: str = "") -> list[Problem]:
    """Return what in this section, or in the files it names, cannot hold."""
    missing = outside_kind.missing_package("ldap3", "ldap", "hub.yaml auth.kind")
    return [*missing, *_files(config, site, way), *_odd(config)]


def _files(config: Config, site: Site, way: str) -> Iterator[Problem]:
    if config.search and config.search.account:
        what = "the password of auth.search.account"
        yield from outside_kind.missing_secret(site, _secret(way), "hub.yaml auth.search.account", what)
    if config.ca:
        yield from outside_kind.unreadable(Path(config.ca), site, "hub.yaml auth.ca")


def _odd(config: Config) -> Iterator[Problem]:
    if outside_kind.groups_named(config) and config.groups is None:
        what = "nobody is in a group that allow or admin_groups names, because it is not said where groups are."
        yield Problem("hub.yaml auth.groups", what, "Say it: `groups: {base: ...}`.")
    plain = [server for server in config.servers if server.startswith("ldap:")]
    if plain and config.tls == "none":
        what = f"passwords go to {plain[0]} unencrypted."
        yield Problem("hub.yaml auth.tls", what, "Use `tls: start`, or ldaps://.", "warning")
    if config.search is None:
        what = (
            "who leaves the directory, or a group, is noticed at the next login only: a template cannot look people up."
        )
        yield Problem("hub.yaml auth.bind", what, "Use `search` with an account of the hub's own.", "warning")


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]], way: str = "") -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.ldap.authenticator.DirectoryAuthenticator"
    c["DirectoryAuthenticator"] = {
        **outside_kind.settings(config, site, way or NAME, c),
        "section": config.model_dump(mode="json", exclude_none=True),
        "password_file": str(site.secrets / _secret(way)) if config.search and config.search.account else "",
    }


def probe(config: Config, site: Site, way: str = "") -> Iterator[Problem]:
    """Yield what is wrong with the directory: asks every server."""
    from hubwright.auth.ldap.directory import Directory

    answers = Directory(config, _password(config, site, way)).probe()
    none_answers = all(answers.values())
    for error in answers.values():
        if error is not None:
            severity: Severity = "error" if none_answers else "warning"
            yield Problem("hub.yaml auth.servers", error.problem.what, error.problem.remedy, severity)


def look_up(config: Config, site: Site, login: str, rule: Rule, way: str = "") -> Seen:
    """Return what the directory knows of somebody; `HubwrightError` when it cannot be asked."""
    from hubwright.auth.ldap.directory import Directory

    person = Directory(config, _password(config, site, way), way or NAME).find(login)
    return outside_kind.seen(person, login, rule)


def _secret(way: str) -> str:
    return f"{way or NAME}.password"


def _password(config: Config, site: Site, way: str) -> str:
    return outside_kind.read_secret(site, _secret(way)) if config.search and config.search.account else ""
