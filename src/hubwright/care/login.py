"""Proving a way to log in before anybody uses it: reaches its providers, looks somebody up; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubwright.auth import FAMILY as AUTH
from hubwright.auth import names
from hubwright.auth.identities import Identities, Known
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Person, Rule
from hubwright.config.load import Loaded
from hubwright.errors import HubwrightError, Problem, Refused
from hubwright.fields import Site
from hubwright.hub.compile import admins, policy
from hubwright.machine.policy import Policy, find_account, group_names, may_serve


@dataclass(frozen=True)
class Outlook:
    """What somebody would get who logged in now."""

    login: str
    name: str
    """The Unix name; empty when there is none for him."""
    allowed: bool
    admin: bool
    groups: tuple[str, ...]
    account: str
    """A sentence about the Unix account."""
    why: str
    """Why not, or how it is known; a sentence."""


def reach(loaded: Loaded, site: Site) -> Iterator[Problem]:
    """Yield what is wrong with the providers of hub.yaml, after asking them."""
    kind: Any = AUTH.of(loaded.hub.auth)
    if hasattr(kind, "probe"):
        for problem in kind.probe(loaded.hub.auth, site):
            yield loaded.place(problem)


def outlook(loaded: Loaded, site: Site, login: str) -> Outlook:
    """Return what somebody would get.

    Raises:
        Refused: this way to log in knows nobody in advance.
        HubwrightError: the provider cannot be asked.
    """
    hub = loaded.hub
    kind: Any = AUTH.of(hub.auth)
    if hasattr(kind, "look_up"):
        rule = Rule.of(hub.auth, hub.people.users, admins(hub, site))  # type: ignore[arg-type]
        seen: Seen = kind.look_up(hub.auth, site, login, rule)
        return _outside(loaded, site, login, seen)
    return _inside(loaded, site, login)


def _outside(loaded: Loaded, site: Site, login: str, seen: Seen) -> Outlook:
    if seen.person is None:
        return Outlook(login, "", False, False, (), "", seen.verdict.detail)
    groups = tuple(sorted(seen.person.groups))
    why = seen.verdict.detail
    try:
        name = _name(site, seen)
    except HubwrightError as error:
        return Outlook(login, "", False, False, groups, "", str(error))
    added = name in _identities(site).added() if site.secrets.is_dir() else False
    allowed = seen.verdict.allowed or added
    if added and not seen.verdict.allowed:
        why = f"{name} was added by an admin."
    return Outlook(login, name, allowed, bool(seen.verdict.admin), groups, _account(loaded, site, name), why)


def _name(site: Site, seen: Seen) -> str:
    """Return the name that somebody has, or would have; `Refused` when it is another's."""
    person = seen.person
    assert person is not None
    known = _identities(site).all() if site.secrets.is_dir() else {}
    for name, identities in known.items():
        if any(_same(one, person) for one in identities):
            return name
    name = names.unix_name(person.login)
    if name in known:
        raise Refused(f'{person} would be "{name}", which is {known[name][0]} already.')
    return name


def _same(one: Known, person: Person) -> bool:
    """Whether it is the identity; by the login, where the provider tells the id only when somebody comes."""
    mine = (person.provider, person.subject) if person.subject else (person.provider, person.login)
    return (one.provider, one.subject if person.subject else one.login) == mine


def _inside(loaded: Loaded, site: Site, login: str) -> Outlook:
    """What this machine and hub.yaml say of one of its own accounts."""
    rule = Policy.parse(policy(loaded.hub, site))
    admin = login in admins(loaded.hub, site)
    entry = find_account(login)
    if entry is None:
        told = f'This machine has no account "{login}".'
        named = login in rule.users and rule.create
        return Outlook(login, login if named else "", named, admin, (), _account(loaded, site, login), told)
    groups = group_names(entry)
    admin = admin or not {*getattr(loaded.hub.auth, "admin_groups", ())}.isdisjoint(groups)
    refusal = may_serve(rule, entry, groups) if site.privileged else None
    if not site.privileged and login != site.account:
        refusal = Refused(f"This service is not started by root, so it serves only {site.account}.")
    why = str(refusal) if refusal else ""
    return Outlook(login, login, refusal is None, admin, tuple(groups), _account(loaded, site, login), why)


def _account(loaded: Loaded, site: Site, name: str) -> str:
    entry = find_account(name)
    if entry is None:
        made = Policy.parse(policy(loaded.hub, site)).create and site.privileged
        return "The account is made at the first login." if made else f'This machine has no account "{name}".'
    rule = Policy.parse(policy(loaded.hub, site))
    refusal = may_serve(rule, entry, group_names(entry)) if site.privileged else None
    return f"The account exists, and is not served: {refusal}" if refusal else "The account exists."


def _identities(site: Site) -> Identities:
    return Identities(site.secrets)
