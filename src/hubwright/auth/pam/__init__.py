"""Logging in with the Unix accounts of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubwright.auth.allow import parts
from hubwright.auth.pam.config import Config
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "pam"
LABEL = "your account on this machine"
UNIX_GROUPS = True
"""People are Unix accounts, so their Unix groups say who they are, as those of the hub do."""


def check(config: Config, site: Site) -> list[Problem]:
    """Return what on this machine keeps people from logging in."""
    problems = []
    if not Path("/etc/pam.d", config.service).is_file():
        problems.append(
            Problem(
                "hub.yaml auth.service",
                f'there is no PAM service "{config.service}" on this machine (no file /etc/pam.d/{config.service}).',
                'Use one that stands in /etc/pam.d, for example "login".',
            )
        )
    if not site.privileged:
        problems.append(
            Problem(
                "hub.yaml auth.kind",
                f"without root only {site.account} can log in, because nobody else's password can be checked.",
                "Start it as root to serve several people.",
                severity="warning",
            )
        )
    return problems


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]]) -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    everybody, users, groups = parts(config.allow)
    c.setdefault("JupyterHub", {})["authenticator_class"] = "hubwright.auth.pam.authenticator.HelperPAMAuthenticator"
    c.setdefault("Authenticator", {}).update(
        any_allow_config=True, allow_existing_users=False, auth_refresh_age=max(1, round(config.look_every))
    )
    c.setdefault("HelperPAMAuthenticator", {}).update(
        account_socket=str(site.account_socket) if site.privileged else "",
        account=site.account,
        service=config.service,
        allow_every_account=everybody,
        allow_names=sorted(users),
        allow_groups=sorted(groups),
        admin_groups=sorted(config.admin_groups),
        grace=config.grace,
        look_every=config.look_every,
    )
