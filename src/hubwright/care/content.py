"""Taking contents from where hub.yaml says, and bringing them into people's homes."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.auth.outside_kind import read_secret
from hubwright.care.hub_api import HubApi
from hubwright.care.people.plan import roster_of
from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.content import git, running, taking, who
from hubwright.content.config import Content
from hubwright.content.originals import Version
from hubwright.content.store import Store, opened
from hubwright.content.taking import Source, Tell
from hubwright.errors import HubwrightError, NotRunning, Problem, Refused, perhaps
from hubwright.fields import Site
from hubwright.hub.compile import admins, policy
from hubwright.hub.contents import contents
from hubwright.machine.accounts import USERS_GROUP
from hubwright.machine.policy import Policy, find_account, group_names, may_serve
from hubwright.people.applied import Applied
from hubwright.people.ids import Ids

_AT_ONCE = 4
"""Homes that are written to side by side."""


@dataclass
class Pushed:
    """What became of a push."""

    versions: dict[str, Version] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One a person and content: what `hand` tells, with `user` and `target`; `waits` where there is no home yet."""
    problems: list[Problem] = field(default_factory=list)
    """Contents that could not be taken."""


def source_of(entry: Content, site: Site) -> Source:
    """Return where a content comes from; `MachineError` when its secret is missing."""
    if entry.git is None:
        return Source(entry.folder_from(site.config), None, entry.inside or "")
    secret = read_secret(site, entry.secret) if entry.secret else ""
    return Source(None, git.Repository(entry.git, entry.ref or "", secret), entry.inside or "")


def prepare(loaded: Loaded, site: Site, voice: Voice) -> None:
    """Take what was never taken, or comes from elsewhere now; one that cannot be is told, and keeps nobody out."""
    for name, entry in loaded.hub.content.items():
        try:
            source = source_of(entry, site)
            current = Store(site.state, name).current()
            if current is None or current.source != str(source):
                taking.take(Store(site.state, name), source, lambda step, name=name: voice.wait(f"{name}: {step}"))  # type: ignore[misc]
        except HubwrightError as error:
            voice.warn(f"content.{name}: {error}")
    voice.wait("")


def check(loaded: Loaded, site: Site) -> Iterator[Problem]:
    """Return what keeps contents from being taken or handed out; looks only, and asks repositories."""
    for name, entry in loaded.hub.content.items():
        where = loaded.where(("content", name))
        try:
            version = taking.check(source_of(entry, site))
        except HubwrightError as error:
            yield Problem(where, error.problem.what, error.problem.remedy)
            continue
        for left in version.left[:3] if version else ():
            yield Problem(where, f"is handed out without {left}.", severity="warning")
        if version and not version.files:
            yield Problem(where, f"{version.source} is empty.", "Put the originals there.", "warning")
        if entry.allow == "all":
            continue
        for group in {*entry.allow.groups} - _groups(loaded, site):
            yield Problem(where, f"this machine has no group {group}.", "Name another, or make it.", "warning")


def _groups(loaded: Loaded, site: Site) -> set[str]:
    """Return the groups of this machine, and those that the roster will make."""
    try:
        roster = roster_of(loaded, site)
    except HubwrightError:  # told elsewhere
        roster = None
    return {one.gr_name for one in grp.getgrall()} | ({*roster.groups} if roster else set())


def chosen(loaded: Loaded, names: Iterable[str]) -> dict[str, Content]:
    """Return the contents of those names, all of them without any; `Refused` for one that is not there."""
    known = loaded.hub.content
    for name in names:
        if name not in known:
            remedy = perhaps(name, list(known)) or 'See "hubwright content list".'
            raise Refused(f'hub.yaml has no content "{name}".', where=loaded.where("content"), remedy=remedy)
    return {name: known[name] for name in names} or dict(known)


def everybody(loaded: Loaded, site: Site) -> list[who.Recipient]:
    """Return everybody who is known here and may be served, by name; whoever has logged in once if the hub runs."""
    hub, told = loaded.hub, contents(loaded.hub)
    if not site.privileged:
        return [who.Recipient.of(pwd.getpwnam(site.account), told)]
    names = {*hub.people.users, *admins(hub, site), *Ids(Applied(site.state).folder, hub.people.ids).read().users}
    names |= {*Applied(site.state).read()}
    try:
        names |= {*grp.getgrnam(USERS_GROUP).gr_mem}
    except KeyError:
        pass
    try:
        names |= {str(user["name"]) for user in HubApi(site).users()} if site.secrets.is_dir() else set()
    except (NotRunning, FileNotFoundError):
        pass
    rule = Policy.parse(policy(hub, site))
    found = (find_account(name) for name in sorted(names))
    let_in = [one for one in found if one and not may_serve(rule, one, [*group_names(one), USERS_GROUP])]
    return [who.Recipient.of(one, told) for one in let_in]


def people(loaded: Loaded, site: Site, users: Iterable[str]) -> list[who.Recipient]:
    """Return those people, everybody without any; `Refused` for somebody who is not served here."""
    known = {person.name: person for person in everybody(loaded, site)}
    for name in users:
        if name not in known:
            raise Refused(f'"{name}" has no account that this service serves.', remedy=perhaps(name, list(known)))
    return [known[name] for name in users] or list(known.values())


def push(
    loaded: Loaded, site: Site, names: Iterable[str], users: Iterable[str], tell: Tell, *, dry: bool = False
) -> Pushed:
    """Take the newest originals and bring them into homes; or, `dry`, say what that would do.

    Raises:
        Refused: a name is unknown.
    """
    done = Pushed()
    wanted, recipients = chosen(loaded, names), people(loaded, site, users)
    with ExitStack() as stack:
        instead: dict[str, int] = {}
        for name, entry in wanted.items():
            step = _named(name, tell)
            try:
                store, source = Store(site.state, name), source_of(entry, site)
                if dry:
                    version, folder = stack.enter_context(taking.tried(store, source, step))
                    instead[name] = stack.enter_context(opened(folder))
                else:
                    version = taking.take(store, source, step)
                done.versions[name] = version
            except HubwrightError as error:
                problem = error.problem
                done.problems.append(Problem(loaded.where(("content", name)), str(problem), severity="error"))
        told = contents(loaded.hub)
        _hand_out(recipients, told, site, done, tell, dry=dry, instead=instead)
    return done


def restore(loaded: Loaded, site: Site, name: str, asked: list[str], user: str) -> dict[str, Any]:
    """Bring originals into somebody's home again, beside what is there when that is his; return what became of it.

    Raises:
        Refused: unknown names, or nothing was ever handed out.
    """
    chosen(loaded, [name])
    (person,) = people(loaded, site, [user])
    told = contents(loaded.hub)
    gets = who.contents_of(person, told)
    if name not in gets:
        raise Refused(f'"{user}" does not get {name}.', where=loaded.where(("content", name)))
    current = Store(site.state, name).current()
    if current is None:
        raise Refused(f"{name} was never taken.", remedy=f'Take it: "hubwright content push {name}".')
    check_paths(name, asked, current)
    with who.order(person, {name: gets[name]}, site.state, asked=asked) as order:
        (found,) = running.run(order)
    return {**found, "user": user, "target": gets[name]}


def check_paths(name: str, asked: Iterable[str], version: Version) -> None:
    """Refuse a path that is no original, nor a folder of them."""
    for path in asked:
        if path and path not in version.files and not any(one.startswith(f"{path}/") for one in version.files):
            remedy = perhaps(path, list(version.files)) or f'See "hubwright content show {name}".'
            raise Refused(f"{name} has no {path}.", remedy=remedy)


def _hand_out(
    recipients: list[who.Recipient],
    told: Mapping[str, Any],
    site: Site,
    done: Pushed,
    tell: Tell,
    *,
    dry: bool,
    instead: Mapping[str, int],
) -> None:
    finished = 0

    def one(person: who.Recipient) -> list[dict[str, Any]]:
        nonlocal finished
        gets = {name: target for name, target in who.contents_of(person, told).items() if name in done.versions}
        rows = _to_home(person, gets, site, dry=dry, instead=instead)
        finished += 1
        tell(f"Handing out ({finished} of {len(recipients)} homes)")
        return rows

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for rows in pool.map(one, recipients):
            done.rows += rows


def _to_home(
    person: who.Recipient, gets: dict[str, str], site: Site, *, dry: bool, instead: Mapping[str, int]
) -> list[dict[str, Any]]:
    plain = {"user": person.name, "error": "", "problems": [], "counts": {}, "steps": [], "waits": False}
    if not Path(person.home).is_dir():
        return [{**plain, "name": name, "target": target, "version": 0, "waits": True} for name, target in gets.items()]
    try:
        with who.order(person, gets, site.state, dry=dry, instead=instead) as order:
            found = running.run(order)
    except HubwrightError as error:
        return [
            {**plain, "name": name, "target": target, "version": 0, "error": str(error)}
            for name, target in gets.items()
        ]
    return [{**plain, **one, "target": gets[one["name"]]} for one in found]


def _named(name: str, tell: Tell) -> Callable[[str], None]:
    return lambda step: tell(f"{name}: {step}")
