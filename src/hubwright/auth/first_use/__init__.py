"""Logging in with a password chosen through a one-time link."""

from __future__ import annotations

from typing import Any

from hubwright.auth.allow import parts
from hubwright.auth.first_use.config import Config
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "first_use"
LABEL = "your password"
MAKES_ACCOUNTS = True
"""People whom an admin adds on the hub's pages get a Unix account: see `machine.policy.Policy.create`."""


def check(config: Config, site: Site) -> list[Problem]:
    """Return what in this section cannot hold."""
    everybody, users, groups = parts(config.allow)
    problems = []
    if everybody or groups:
        problems.append(
            Problem(
                "hub.yaml auth.allow",
                "with first_use each person needs a one-time link, so neither everybody nor a group can be let in.",
                'Name people (`allow: {users: [...]}`), add them with "hubwright user add", or use `kind: pam`.',
            )
        )
    if not site.privileged and any(name != site.account for name in users):
        problems.append(
            Problem(
                "hub.yaml auth.allow",
                f"without root only {site.account} can be served.",
                "Start it as root to serve several people.",
            )
        )
    return problems


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]]) -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    _, users, _ = parts(config.allow)
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.first_use.authenticator.ClaimAuthenticator"
    c.setdefault("Authenticator", {}).update(any_allow_config=True, allow_existing_users=True, allow_all=False)
    c["Authenticator"]["allowed_users"] = sorted({*c["Authenticator"].get("allowed_users", ()), *users})
    c.setdefault("ClaimAuthenticator", {}).update(
        state=str(site.state),
        public_url=site.public_url,
        account=site.account,
        account_socket=str(site.account_socket) if site.privileged else "",
        min_password_length=config.minimum_length,
        check_passwords_on_startup=False,
        create_users=False,
    )


def first_admin_link(site: Site, admin: str) -> str | None:
    """Return a new one-time link for the admin while he has no password, else None."""
    from hubwright.auth.first_use import links

    return links.first_admin_link(site, admin)
