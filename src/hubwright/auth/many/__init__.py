"""Several ways to log in on one page.

Not on jupyterhub-multiauthenticator: it gives each way a login page of its own and nothing more. Whom the hub looks at
again, adds, deletes or starts a server for would reach none of the ways, and two people of one name would be one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hubwright.auth import WAYS
from hubwright.auth.many.config import Config
from hubwright.auth.ways import is_outside, listed_name
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "many"
UNIX_GROUPS = True
"""Some people may be Unix accounts, and what groups an account is in is root's word in any case."""


def check(config: Config, site: Site) -> list[Problem]:
    """Return what in these ways, or in the files they name, cannot hold."""
    found = []
    for name, section in config.ways.items():
        kind: Any = WAYS.of(section)
        problems = kind.check(section, site, name) if is_outside(section) else kind.check(section, site)
        found += [_placed(name, problem) for problem in problems]
    return found


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]]) -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    lists = c.setdefault("Authenticator", {})
    users, admins = lists.get("allowed_users", ()), lists.get("admin_users", ())
    lists.update(any_allow_config=True, allow_existing_users=False, allow_all=False, allowed_users=[], admin_users=[])
    ways = []
    for name, section in config.ways.items():
        mine = {"allowed_users": users, "admin_users": admins} if name == listed_name(config) else {}
        ways.append(_way(config, name, site, {"allowed_users": [], "admin_users": [], **mine}))
        if section.kind == "first_use":  # they are known to the hub before they come, so that links can be made
            lists.update({key: ways[-1]["settings"][key] for key in ("allowed_users", "admin_users")})
    look_every = min(getattr(section, "look_every", 60.0) for section in config.ways.values())
    lists["auth_refresh_age"] = max(1, round(look_every))
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.many.authenticator.ManyAuthenticator"
    c["ManyAuthenticator"] = {
        "state": str(site.state),
        "public_url": site.public_url,
        "account": site.account,
        "account_socket": str(site.account_socket) if site.privileged else "",
        "look_every": look_every,
        "ways": ways,
        "listed": listed_name(config),
        "links": {name: list(identities) for name, identities in config.links.items()},
    }


def _way(config: Config, name: str, site: Site, lists: dict[str, Any]) -> dict[str, Any]:
    """Return what the authenticator needs to make that of one way."""
    section = config.ways[name]
    kind: Any = WAYS.of(section)
    own: dict[str, dict[str, Any]] = {"Authenticator": lists}
    if is_outside(section):
        kind.configure(section, site, own, name)
    else:
        kind.configure(section, site, own)
    cls = str(own["JupyterHub"]["authenticator_class"])
    return {
        "name": name,
        "class": cls,
        "settings": {**own["Authenticator"], **own[cls.rpartition(".")[2]]},
        "label": getattr(section, "label", None) or kind.LABEL,
        "accounts": getattr(section, "accounts", "existing" if section.kind == "pam" else "make"),
    }


def probe(config: Config, site: Site) -> Iterator[Problem]:
    """Yield what is wrong with the providers of all ways, after asking them."""
    for name, section in config.ways.items():
        kind: Any = WAYS.of(section)
        if is_outside(section):
            for problem in kind.probe(section, site, name):
                yield _placed(name, problem)


def _placed(way: str, problem: Problem) -> Problem:
    """Return a way's problem, whose settings it calls `auth.…`, with `auth.ways.NAME.…` in it."""
    return replace(
        problem,
        where=problem.where.replace("hub.yaml auth.", f"hub.yaml auth.ways.{way}."),
        what=problem.what.replace("auth.", f"auth.ways.{way}."),
        remedy=problem.remedy.replace("auth.", f"auth.ways.{way}."),
    )
