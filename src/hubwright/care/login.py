"""Proving a way to log in before anybody uses it: reaches its providers, looks somebody up; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any

from hubwright.auth import FAMILY as AUTH
from hubwright.auth.allow import parts
from hubwright.auth.first_use.store import Store
from hubwright.auth.identities import Identities
from hubwright.auth.outside_kind import Seen
from hubwright.auth.rule import Person, Rule
from hubwright.auth.ways import is_outside, listed_name, ways_of
from hubwright.config.load import Loaded
from hubwright.errors import HubwrightError, Problem, Refused
from hubwright.fields import Site
from hubwright.hub.compile import admins, policy
from hubwright.machine.policy import Policy, find_account, group_names, may_serve

_START_WAITS = 5.0
"""Seconds that a start waits for providers: one that is silent or gone keeps nobody from starting."""


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


def reach_soon(loaded: Loaded, site: Site, seconds: float = _START_WAITS) -> list[Problem]:
    """Return as warnings what stands in the way of a login, as far as it is known after `seconds`; for a start."""
    found: list[Problem] = []

    def ask() -> None:
        try:
            for problem in reach(loaded, site):
                if problem.severity == "error":  # what can only be compared by hand is for `hubwright check`
                    found.append(problem)
        except HubwrightError as error:
            found.append(error.problem)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    told = [replace(problem, severity="warning") for problem in list(found)]
    if asking.is_alive():
        what = f"who is asked about people has not answered within {seconds:g} s."
        told.append(Problem(loaded.where("auth"), what, 'See "hubwright check".', "warning"))
    return told


def outlooks(loaded: Loaded, site: Site, login: str) -> dict[str, Outlook]:
    """Return what somebody would get by each way to log in, by its name.

    Raises:
        Refused: this way to log in knows nobody in advance.
        HubwrightError: the provider cannot be asked; with several ways that is told of the one.
    """
    ways = ways_of(loaded.hub.auth)
    found = {}
    for way in ways:
        try:
            found[way] = _outlook(loaded, site, login, way)
        except HubwrightError as error:
            if len(ways) == 1:
                raise
            found[way] = Outlook(login, "", False, False, (), "", str(error))
    return found


def _outlook(loaded: Loaded, site: Site, login: str, way: str) -> Outlook:
    hub = loaded.hub
    section = ways_of(hub.auth)[way]
    kind: Any = AUTH.of(section)
    if hasattr(kind, "look_up"):
        named = way if len(ways_of(hub.auth)) > 1 else ""
        seen: Seen = kind.look_up(section, site, login, _rule(loaded, site, way), named)
        return _outside(loaded, site, login, seen, way)
    found = _inside(loaded, site, login, way)
    if len(ways_of(hub.auth)) > 1 and found.name:
        try:
            _name(loaded, site, Person(way, login, login), way)
        except Refused as refusal:
            return Outlook(login, "", False, False, found.groups, "", str(refusal))
    return found


def _rule(loaded: Loaded, site: Site, way: str) -> Rule:
    """Return the rule of a way; lists outside of the ways mean people of one of them."""
    hub = loaded.hub
    section = ways_of(hub.auth)[way]
    users, managing = (hub.people.users, admins(hub, site)) if way == listed_name(hub.auth) else ((), ())
    if is_outside(section):
        return Rule.of(section, users, managing)
    return Rule(users=frozenset({*parts(section.allow)[1], *users}), admins=frozenset(managing))


def _outside(loaded: Loaded, site: Site, login: str, seen: Seen, way: str) -> Outlook:
    if seen.person is None:
        return Outlook(login, "", False, False, (), "", seen.verdict.detail)
    groups = tuple(sorted(seen.person.groups))
    added = way == listed_name(loaded.hub.auth) and bool(seen.person.called & _added(site))
    allowed = seen.verdict.allowed or added
    why = f"{login} was added by an admin." if added and not seen.verdict.allowed else seen.verdict.detail
    try:
        name = _name(loaded, site, seen.person, way)
    except HubwrightError as error:  # who is not on any list is told that first, as at a login
        return Outlook(login, "", False, False, groups, "", str(error) if allowed or not why else why)
    return Outlook(login, name, allowed, bool(seen.verdict.admin), groups, _account(loaded, site, name), why)


def _name(loaded: Loaded, site: Site, person: Person, way: str) -> str:
    """Return the name that somebody has, or would have; `Refused` when it is another's, or kept for another."""
    kept = {name: _kept(loaded, site, name) for name in ways_of(loaded.hub.auth)}
    mine = kept.pop(way)
    return _identities(site).foretell(person, mine, kept, frozenset(loaded.hub.people.teams))


def _kept(loaded: Loaded, site: Site, way: str) -> frozenset[str]:
    """Return the names that lists have for people of a way."""
    section = ways_of(loaded.hub.auth)[way]
    added = _added(site) if way == listed_name(loaded.hub.auth) else frozenset()
    links = Store(site.secrets).names() if section.kind == "first_use" and site.secrets.is_dir() else frozenset()
    return _rule(loaded, site, way).named | added | links


def _added(site: Site) -> frozenset[str]:
    return _identities(site).added() if site.secrets.is_dir() else frozenset()


def _inside(loaded: Loaded, site: Site, login: str, way: str) -> Outlook:
    """What this machine and hub.yaml say of one of its own accounts."""
    rule = Policy.parse(policy(loaded.hub, site))
    section = ways_of(loaded.hub.auth)[way]
    admin = way == listed_name(loaded.hub.auth) and login in admins(loaded.hub, site)
    entry = find_account(login)
    if entry is None:
        told = f'This machine has no account "{login}".'
        named = login in rule.users and rule.create
        return Outlook(login, login if named else "", named, admin, (), _account(loaded, site, login), told)
    groups = group_names(entry)
    admin = admin or not {*getattr(section, "admin_groups", ())}.isdisjoint(groups)
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
