"""What is not as the roster says: computed from the machine, the hub and the record; nothing is changed here."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hubwright.auth.allow import parts
from hubwright.auth.ways import key_of, listed, listed_name, roster_groups
from hubwright.care.people import folders, teams
from hubwright.care.people.hub import HubPeople, is_outside
from hubwright.care.people.serving import encryption
from hubwright.care.people.step import Plan, Step
from hubwright.config.load import Loaded
from hubwright.config.roster import read
from hubwright.envs import offering
from hubwright.errors import HubwrightError, Problem, Refused
from hubwright.fields import Site, format_bytes
from hubwright.hub.compile import admins, policy
from hubwright.machine.accounts import USERS_GROUP, ensure_group
from hubwright.machine.policy import Policy, find_account, group_names, may_serve
from hubwright.people import accounts, archive, homes, quota
from hubwright.people.applied import Applied
from hubwright.people.ids import Ids, Table
from hubwright.people.roster import Person, Roster, same_person

_NAMED = 'Otherwise "hubwright names forget" gives the name free; home and files stay the other\'s.'
FEW = 3
"""So many may always be taken out at once; more only up to half of all."""


def roster_of(loaded: Loaded, site: Site) -> Roster | None:
    """Return the roster that hub.yaml names; None when it names none.

    Raises:
        ConfigError: with every mistake in it.
    """
    named = loaded.hub.people.roster
    if named is None:
        return None
    base = site.config.parent if site.config else Path.cwd()
    return read(base / named)


@dataclass
class Planner:
    """Finds what is to be done, for one look."""

    loaded: Loaded
    site: Site
    roster: Roster | None
    applied: dict[str, Person]
    table: Table
    ids: Ids
    hub: HubPeople | None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    """Who of the roster can be served."""
    foreign: set[str] = field(default_factory=set)
    """Groups of the roster that are others' on this machine: nobody joins them, and nobody is taken out of them."""

    @classmethod
    def look(cls, loaded: Loaded, site: Site) -> Planner:
        """Look at everything.

        Raises:
            Refused: the service is not root's.
            ConfigError: the roster has mistakes.
        """
        if not site.privileged:
            raise Refused("Accounts and homes are root's to make.", remedy="Run it as root: sudo hubwright ...")
        roster = roster_of(loaded, site)
        applied = Applied(site.state)
        ids = Ids(applied.folder, loaded.hub.people.ids)
        return cls(loaded, site, roster, applied.read(), ids.read(), ids, HubPeople.find(loaded.hub, site))

    def plan(self) -> Plan:
        """Return what would change."""
        self.rule = Policy.parse(policy(self.loaded.hub, self.site))
        leaving = self.leaving()
        groups = list(self._groups())
        steps = [step for name in leaving for step in self._out(self.applied[name])] + groups
        for person in self.roster.people if self.roster else ():
            steps += self._person(person)
        steps += self._shared()
        steps += self._teams()
        steps += self._quotas()
        steps += self._hub()
        self._tell_admins()
        self.notes += offering.to_build(self.loaded.hub.environments, self.site)
        if self.hub is None and (self.people or leaving):
            self.notes.append(
                "The hub does not run: who may enter is brought into step when it does "
                "(`hubwright apply` again; with people.watch by itself)."
            )
        many = len(leaving) > max(FEW, len(self.applied) // 2)
        comes = encryption(self.loaded, self.site)
        return Plan(tuple(steps), tuple(self.problems), tuple(self.notes), tuple(leaving), many, comes)

    def leaving(self) -> list[str]:
        """Return who was let in by the roster, is not on it any more, and is let in by nothing else."""
        if self.roster is None:
            return []
        hub = self.loaded.hub
        allowed = parts(getattr(listed(hub.auth), "allow", "nobody"))[1]
        named = {*hub.people.users, *admins(hub, self.site), *allowed}
        here = self.roster.by_name
        return sorted(
            name
            for name, person in self.applied.items()
            if name not in named and not (name in here and same_person(here[name].login, person.login))
        )

    # Who leaves

    def _out(self, person: Person) -> Iterator[Step]:
        name, hub = person.name, self.hub
        if hub is not None and hub.knows(person):
            routes = hub.routes(name, self.site.base_url)
            servers = f"servers ({', '.join(routes)})" if routes else "servers"
            yield Step("person", "remove", name, f"ends {servers}, sessions and tokens", partial(hub.remove, person))
        entry = find_account(name)
        if entry is None:
            return
        for group in sorted(({USERS_GROUP, *person.groups} & {*group_names(entry)}) - self.foreign):
            yield Step("group", "remove", name, f"leaves {group}", partial(_leave, name, group))
        known = self.table.users.get(name)
        made = known is not None and known.made and known.id == entry.pw_uid
        if self.loaded.hub.people.when_removed == "keep" or not made or hub is None:
            return  # servers may still run while nobody can be asked
        text = f"packs {entry.pw_dir} into an archive, then removes home and account"
        yield Step("files", "remove", name, text, partial(archive_and_remove, entry, self.site))

    # Groups, accounts, homes

    def _groups(self) -> Iterator[Step]:
        wanted = {*(self.roster.groups if self.roster else ()), *self._sharing()}
        before = {group for person in self.applied.values() for group in person.groups}
        for name in sorted(wanted | before):
            try:
                found = grp.getgrnam(name).gr_gid
            except KeyError:
                if name not in wanted:
                    continue
                yield Step("group", "add", name, "a new group", partial(self._make_group, name))
                continue
            known = self.table.groups.get(name)
            if known is None or known.id != found:
                what = f'this machine has a group "{name}" (number {found}) that Hubwright did not make.'
                if known is not None:
                    what = f'the group "{name}" has the number {found} on this machine, not {known.id}.'
                self.foreign.add(name)
                if name not in wanted:
                    continue
                line = next((one.line for one in (self.roster.people if self.roster else ()) if name in one.groups), 0)
                self._problem(line, what, "Name the group otherwise.")

    def _make_group(self, name: str) -> str:
        gid = self.ids.give("groups", name)
        accounts.make_group(name, gid)
        return f"number {gid}"

    def _person(self, person: Person) -> Iterator[Step]:
        name, entry = person.name, find_account(person.name)
        if name in self.loaded.hub.people.teams:
            what = f'{person.login} would be "{name}", which is the server of a group.'
            self._problem(person.line, what, "Name the group otherwise.")
            return
        if self.hub is not None and (other := self.hub.namesake(person)):
            what = f'{person.login} would be "{name}", which is {other} already.'
            self._problem(person.line, what, f'If it is the same person: "hubwright names link --help". {_NAMED}')
            return
        known = self.table.users.get(name)
        if entry is not None and (trouble := self._trouble(person, entry)):
            self._problem(person.line, trouble.problem.what, trouble.problem.remedy)
            return
        try:
            fresh = homes.missing(Path(entry.pw_dir), entry.pw_uid) if entry else self._home_is_free(person)
        except Refused as refusal:
            self._problem(person.line, refusal.problem.what, refusal.problem.remedy)
            return
        self.people.append(person)
        if entry is None:
            number = f" with number {known.id}" if known and same_person(known.login, person.login) else ""
            yield Step("account", "add", name, f"a new account for {person.login}{number}", partial(self._make, person))
        if fresh:
            place = entry.pw_dir if entry else f"/home/{name}"
            yield Step("home", "add", name, f"a new home, {place}", partial(self._make_home, name))
        mine = {*group_names(entry)} if entry else set()
        for group in (USERS_GROUP, *(group for group in person.groups if group not in self.foreign)):
            if group not in mine:
                yield Step("group", "add", name, f"joins {group}", partial(self._join, name, group))
        before = self.applied[name].groups if name in self.applied else ()
        for group in sorted(({*before} & mine) - {*person.groups} - self.foreign):
            yield Step("group", "remove", name, f"leaves {group}", partial(_leave, name, group))

    def _trouble(self, person: Person, entry: pwd.struct_passwd) -> Refused | None:
        """Return why the account that has a person's name cannot be that person's."""
        name, groups = person.name, group_names(entry)
        known = self.table.users.get(name)
        if known is not None and known.id != entry.pw_uid:
            what = f'the account "{name}" has the number {entry.pw_uid} on this machine, not {known.id}.'
            return Refused(what, remedy=f'Change it: "usermod --uid {known.id} {name}", and the owner of its files.')
        if known is not None and not same_person(known.login, person.login):
            what = f'{person.login} would be "{name}", which is {known.login} on this machine.'
            return Refused(what, remedy="Let one of them use another name, or archive and remove that account first.")
        if person.is_address and known is None and USERS_GROUP not in groups:
            what = f'there is an account "{name}" that Hubwright did not make, which may be another person\'s.'
            return Refused(what, remedy=f'If it is {person.login}, join it once: "hubwright user add {name}".')
        return may_serve(self.rule, entry, [*groups, USERS_GROUP])

    def _home_is_free(self, person: Person) -> bool:
        known = self.table.users.get(person.name)
        home = Path("/home", person.name)
        if known is not None and same_person(known.login, person.login):
            return homes.missing(home, known.id)
        if os.path.lexists(home):
            what = f'there is no account "{person.name}", but its home {home} exists and may be somebody\'s.'
            raise Refused(what, remedy=f"Move {home} away.")
        return True

    def _make(self, person: Person) -> str:
        ensure_group(USERS_GROUP)
        uid = self.ids.give("users", person.name, person.login)
        accounts.make_numbered(person.name, uid)
        return f"number {uid}"

    def keep_number(self, name: str) -> None:
        """Note the number of an account that was there before, so that another machine can give the same."""
        entry, person = find_account(name), self.roster.by_name[name] if self.roster else None
        if entry is not None and person is not None:
            self.ids.note("users", name, entry.pw_uid, person.login)

    def _make_home(self, name: str) -> str:
        skeleton = self.loaded.hub.people.skeleton
        homes.make(pwd.getpwnam(name), Path(skeleton) if skeleton else None)
        return ""

    def _join(self, name: str, group: str) -> str:
        accounts.join(self.rule, name, group)
        return ""

    # Disk

    def _quotas(self) -> Iterator[Step]:
        if (size := self.loaded.hub.people.quota) is None or not self.people:
            return
        found = quota.find(Path("/home"))
        if isinstance(found, str):
            self.notes.append(f"people.quota has no effect: {found}.")
            return
        mount = found
        for name in (*(person.name for person in self.people), *self.loaded.hub.people.teams):
            if find_account(name) is None or quota.limit_of(name, mount) != quota.rounded(size):
                text = f"at most {format_bytes(size)}"
                yield Step("quota", "change", name, text, partial(_set_quota, name, size, mount))

    def _sharing(self) -> set[str]:
        """Return the groups that shared folders are for."""
        return {name for one in self.loaded.hub.people.shared for name in (one.group, one.keepers) if name}

    def _shared(self) -> Iterator[Step]:
        for one in self.loaded.hub.people.shared:
            if {one.group or USERS_GROUP, one.keepers} & {*self.foreign}:
                continue
            try:
                members = self._members(one.group) if one.access == "drop" else ()
                yield from folders.steps(one, members, self.notes)
                yield from folders.sizes(one, self.loaded.hub.people.shared, self.notes)
            except HubwrightError as error:
                self.problems.append(error.problem)

    def _members(self, group: str | None) -> list[str]:
        """Return who is in a group of the roster; for None everybody whom the service knows."""
        if group is not None:
            return list(self.roster.groups.get(group, ())) if self.roster else []
        besides = {*self.loaded.hub.people.users, *(self.hub.users if self.hub else ())}
        besides -= {*self.leaving(), *self.loaded.hub.people.teams}
        here = (entry for name in besides if (entry := find_account(name)) is not None)
        let_in = {entry.pw_name for entry in here if USERS_GROUP in group_names(entry)}
        return sorted(let_in | {person.name for person in self.people})

    def _teams(self) -> Iterator[Step]:
        if {one.group for one in self.loaded.hub.people.teams.values()} & self.foreign:
            return
        try:
            yield from teams.steps(self.loaded, self.site, self.rule, self.ids)
        except HubwrightError as error:
            self.problems.append(error.problem)

    # The hub

    def _hub(self) -> Iterator[Step]:
        if (hub := self.hub) is None:
            return
        always = {*admins(self.loaded.hub, self.site)}
        for person in self.people:
            name = person.name
            if hub.lacks(person):
                yield Step(
                    "person",
                    "add",
                    name,
                    f"may enter as {person.login}",
                    partial(hub.add, person, self.applied.get(name)),
                )
            was = name in self.applied and self.applied[name].admin
            if person.admin and not hub.is_admin(name):
                yield Step("admin", "add", name, "manages the service", partial(hub.set_admin, name, True))
            elif was and not person.admin and hub.is_admin(name) and name not in always:
                text = "manages the service no more"
                yield Step("admin", "remove", name, text, partial(hub.set_admin, name, False))
        if roster_groups(self.loaded.hub.auth):
            yield from self._hub_groups(hub)

    def _hub_groups(self, hub: HubPeople) -> Iterator[Step]:
        """Groups that entries of `profiles` may name; where a provider has groups, the hub's are the provider's."""
        named = {group for one in (*self.people, *self.applied.values()) for group in one.groups}
        for group in sorted(named - self.foreign):
            members = {one.name for one in self.people if group in one.groups}
            add = sorted(name for name in members if group not in hub.groups(name))
            ours = {
                one.name for one in self.people if one.name in self.applied and group in self.applied[one.name].groups
            }
            remove = sorted(name for name in ours - members if group in hub.groups(name))
            if add or remove:
                words = [f"with {', '.join(add)}"] * bool(add) + [f"without {', '.join(remove)}"] * bool(remove)
                text = f"in the hub {' and '.join(words)}"
                yield Step("group", "change", group, text, partial(hub.set_group, group, add, remove))

    def _tell_admins(self) -> None:
        """Note where `admin` in the roster has no effect."""
        auth = self.loaded.hub.auth
        decided = [
            key_of(auth, listed_name(auth), key) for key in ("admins", "admin_groups") if getattr(listed(auth), key, ())
        ]
        if is_outside(self.loaded.hub) and self.loaded.hub.hub.admins:
            decided.append("hub.admins")
        if decided and any(person.admin for person in self.people):
            keys = " and ".join(decided)
            self.notes.append(f"{keys} decides who is an admin, at each login; name the roster's admins there, too.")

    def _problem(self, line: int, what: str, remedy: str = "") -> None:
        file = self.roster.path if self.roster else self.loaded.path
        self.problems.append(Problem(f"{file}:{line}" if line else str(file), what, remedy))


def archive_and_remove(entry: pwd.struct_passwd, site: Site, tell: archive.Tell = lambda *_: None) -> str:
    """Pack a home, then remove it and its account; where not all of it could be packed, both stay.

    Raises:
        MachineError: it cannot be packed, or a process still runs as that account; the next try goes on.
    """
    home, told = Path(entry.pw_dir), ""
    if home.is_dir() and not home.is_symlink():
        done = archive.create(entry, site.state, tell)
        told = f"{done.path}"
        if done.lost_count:
            return f"{told}; {done.lost_count} files could not be packed ({done.lost[0]}), so home and account stay"
        archive.remove_home(entry, tell)
    accounts.remove(entry.pw_name, entry.pw_uid)
    return told


def _leave(name: str, group: str) -> str:
    if group == USERS_GROUP:
        accounts.leave(name)
    else:
        accounts.part(name, group)
    return ""


def _set_quota(name: str, size: int, mount: quota.Mount) -> str:
    quota.set_limit(name, size, mount)
    return ""
