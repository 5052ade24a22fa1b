"""What the packages of kinds share whose people are known elsewhere: secrets, missing packages, settings."""

from __future__ import annotations

import importlib.util
import os
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.auth.rule import AllowOutside, Outside, Person, Rule, Verdict
from hubwright.errors import MachineError, Problem
from hubwright.fields import Site
from hubwright.machine import opening
from hubwright.machine.files import hidden_from

LARGEST = 8192
"""Bytes of a secret."""


def settings(config: Outside, site: Site, provider: str, c: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of `OutsideAuthenticator`, and take from `c` the names that JupyterHub would let in itself.

    JupyterHub knows people by Unix name only; who gets which name is decided by the authenticator.
    """
    ours = c.setdefault("Authenticator", {})
    users, admins = ours.get("allowed_users", ()), ours.get("admin_users", ())
    ours.update(any_allow_config=True, allow_existing_users=False, allow_all=False)
    ours.update(allowed_users=[], admin_users=[], auth_refresh_age=max(1, round(config.look_every)))
    return {
        "provider": provider,
        "state": str(site.state),
        "public_url": site.public_url,
        "account": site.account,
        "account_socket": str(site.account_socket) if site.privileged else "",
        "rule": Rule.of(config, tuple(users), tuple(admins)).plain(),
        "grace": config.grace,
        "look_every": config.look_every,
    }


def missing_package(module: str, extra: str, where: str) -> Iterator[Problem]:
    """Yield a problem when the package of an optional kind is not installed."""
    if importlib.util.find_spec(module) is None:
        yield Problem(
            where,
            f"needs the package {module}, which is not installed.",
            f'Install it: pip install "hubwright[{extra}]".',
        )


def missing_secret(site: Site, name: str, where: str, what: str) -> Iterator[Problem]:
    """Yield a problem when a secret is missing, empty, or open to others."""
    try:
        read_secret(site, name)
    except MachineError as error:
        yield Problem(where, f"{what} is needed: {error.problem.what}", error.problem.remedy)


def read_secret(site: Site, name: str) -> str:
    """Return the secret in the file `name` of the service's folder of secrets.

    Raises:
        MachineError: there is none, or others can read it.
    """
    return secret_in(str(site.secrets / name))


def secret_in(file: str) -> str:
    """Return the secret in a file; `MachineError` when there is none, or others can read it."""
    path = Path(file)
    remedy = f'Give it: "hubwright secret {path.name}".'
    try:
        with open(os.open(path, opening.FILE), "rb") as content:
            found = os.fstat(content.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
                raise MachineError(f"{path} can be read by others.", where=str(path), remedy=f'"chmod 600 {path}".')
            text = content.read(LARGEST).decode().strip()
    except FileNotFoundError:
        raise MachineError(f"there is no file {path}.", where=str(path), remedy=remedy) from None
    except PermissionError:
        raise MachineError(f"{path} may not be read by this account.", where=str(path), remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MachineError(f"{path} cannot be read.", where=str(path), remedy=remedy) from error
    if not text:
        raise MachineError(f"{path} is empty.", where=str(path), remedy=remedy)
    return text


def groups_named(config: Outside) -> bool:
    """Whether a group decides anything."""
    return bool(config.admin_groups or (isinstance(config.allow, AllowOutside) and config.allow.groups))


def unreadable(path: Path, site: Site, where: str) -> Iterator[Problem]:
    """Yield a problem when a file of certificates is none, or the hub cannot read it."""
    try:
        ssl.create_default_context(cafile=str(path))
    except FileNotFoundError:
        yield Problem(where, f"there is no file {path}.", "Name it with its whole path.")
    except (OSError, ssl.SSLError):
        yield Problem(where, f"{path} holds no certificates in PEM.", "It begins with -----BEGIN CERTIFICATE-----.")
    else:
        if site.privileged and (place := hidden_from(path, site.account)):
            what = f"the hub's account {site.account} may not read {place}."
            yield Problem(where, what, "Put it below /etc/ssl, or open it to others: it holds no secret.")


@dataclass(frozen=True)
class Seen:
    """What would become of somebody who logged in now."""

    person: Person | None
    """None: the provider does not know him. Without a subject: it tells of people at their login only."""
    verdict: Verdict


def seen(person: Person | None, login: str, rule: Rule) -> Seen:
    """Return what a rule makes of somebody whom a provider knows, or not."""
    if person is None:
        return Seen(None, Verdict(False, False, detail=f"The provider knows nobody called {login}."))
    return Seen(person, rule.decide(person))
