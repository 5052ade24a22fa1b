"""Single accounts, for commands: made with a number of the table, and given a password."""

from __future__ import annotations

import pwd
from pathlib import Path

from hubwright.auth.first_use.store import Store, password_problem
from hubwright.auth.ways import of_kind, ways_of
from hubwright.config.load import Loaded
from hubwright.errors import Refused
from hubwright.fields import Site
from hubwright.machine.accounts import USERS_GROUP, ensure_group
from hubwright.machine.files import Owner
from hubwright.machine.policy import Policy, find_account, group_names
from hubwright.people import accounts, homes
from hubwright.people.applied import Applied
from hubwright.people.ids import Ids, Table


def numbers(loaded: Loaded, site: Site) -> Ids:
    """Return the table of ids of a service."""
    return Ids(Applied(site.state).folder, loaded.hub.people.ids)


def add(loaded: Loaded, site: Site, policy: Policy, name: str) -> bool:
    """Let a person in, for root: make the account with its home, or join the one that is there; whether it was made.

    Raises:
        Refused: not an account name, a privileged account that hub.yaml does not admit, or a name, a number or a home
            that is somebody else's.
    """
    accounts.check_name(name)
    with Applied(site.state).locked():
        table = numbers(loaded, site)
        entry = find_account(name)
        if entry is None:
            ensure_group(USERS_GROUP)
            known = table.read().users.get(name)
            accounts.make_numbered(name, table.give("users", name, known.login if known else name))
            skeleton = loaded.hub.people.skeleton
            homes.make(pwd.getpwnam(name), Path(skeleton) if skeleton else None)
        accounts.add(policy, name)
    return entry is None


def take_over(loaded: Loaded, site: Site, other: Table) -> list[str]:
    """Take over another machine's table of ids; return the names that are new here."""
    with Applied(site.state).locked():
        return numbers(loaded, site).merge(other)


def password_refusal(loaded: Loaded, site: Site, name: str) -> str:
    """Return why a password of somebody cannot be set here, or ""."""
    kinds = {section.kind for section in ways_of(loaded.hub.auth).values()}
    if _is_the_hubs(loaded, site, name):
        return "" if site.secrets.is_dir() else f"There is no service in {site.state} yet."
    if "pam" not in kinds:
        return f"With `auth: {{kind: {' and '.join(sorted(kinds))}}}` others keep the password."
    if not site.privileged:
        return "Passwords of Unix accounts are root's to set."
    entry = find_account(name)
    if entry is None:
        return f'This machine has no account "{name}".'
    if USERS_GROUP not in group_names(entry):
        return f'"{name}" did not come by Hubwright; set the password with passwd(1).'
    return ""


def _is_the_hubs(loaded: Loaded, site: Site, name: str) -> bool:
    """Whether the hub keeps somebody's password: with several ways, if it has one or a link, or nobody else could."""
    if of_kind(loaded.hub.auth, "first_use") is None:
        return False
    ways = ways_of(loaded.hub.auth)
    return len(ways) == 1 or (site.secrets.is_dir() and Store(site.secrets).state(name) != "none")


def set_password(loaded: Loaded, site: Site, name: str, password: str) -> None:
    """Set a password that may be set.

    Raises:
        Refused: it is too short, too long, or has a character that cannot be used.
    """
    if _is_the_hubs(loaded, site, name):
        if problem := password_problem(password, of_kind(loaded.hub.auth, "first_use").minimum_length):
            raise Refused(problem)
        Store(site.secrets, Owner.of(site.account) if site.privileged else None).set(name, password)
        return
    accounts.set_password(name, password)
