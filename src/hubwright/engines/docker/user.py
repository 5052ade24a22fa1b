"""Whom a container is for: ids, groups, home, and the account files that it sees."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from hubwright.engines.docker import sources
from hubwright.engines.docker.container import Mount
from hubwright.engines.local import collaboration
from hubwright.errors import Refused
from hubwright.fields import Site
from hubwright.machine import policy


@dataclass(frozen=True)
class Person:
    """A Unix account, as containers need it."""

    name: str
    uid: int
    gid: int
    groups: tuple[tuple[str, int], ...]
    """Name and id of every group it is in, those left out that give power over the machine; its own first."""
    home: str
    """Where he has it, inside and outside."""
    source: str
    """Where it is on the machine, without a link."""
    shared: Mount | None = None
    """The folder of the group whose own server this account runs; None for a person's."""

    @property
    def others(self) -> tuple[int, ...]:
        """The ids of its groups besides its own."""
        return tuple(gid for _, gid in self.groups if gid != self.gid)


def find(site: Site, name: str, home: str | None = None) -> Person:
    """Return the person called `name`, whose home is there; asks the machine, so not for the hub's loop.

    Args:
        home: the pattern for homes; None for the account's own, which a group's always is.

    Raises:
        Refused: no such account, one that may not be served, or a home that is missing, somebody else's, or where
            somebody else could put another; or a group's folder that is.
    """
    shared = None
    account = policy.find_account(name)
    if account is None:
        raise Refused(
            f'This machine has no account "{name}".', remedy=f'Root can make it: "hubwright user add {name}".'
        )
    if site.privileged:
        rule = policy.Policy.load(site.policy)
        if refusal := policy.may_serve(rule, account, policy.group_names(account)):
            raise refusal
        if team := rule.teams.get(name):
            collaboration.check_folder(team, account.pw_gid)
            home, shared = None, Mount(sources.found(team.folder), team.folder, write=True)
    elif account.pw_uid != os.getuid():
        me = pwd.getpwuid(os.getuid()).pw_name
        raise Refused(f"Only {me} can have a server here: the service was not started by root.")
    place = home.replace("{username}", name) if home else account.pw_dir
    check_home(place, account)
    source = sources.found(place) if site.privileged else place
    return Person(name, account.pw_uid, account.pw_gid, _groups(account), place, source, shared)


def check_home(home: str, account: pwd.struct_passwd) -> None:
    """Refuse a home that is missing, not a folder, or somebody else's; what may not be seen is for `sources.found`."""
    name = account.pw_name
    remedy = f"An administrator can mend it: install -d -m 0700 -o {name} -g {account.pw_gid} {home}"
    try:
        found = Path(home).stat()
    except PermissionError:
        return
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be used ({error.strerror})"
        raise Refused(f"The home folder {home} of {name} {what}.", remedy=remedy) from error
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(f"The home {home} of {name} is not a folder.", remedy="Move away what is there.")
    if found.st_uid != account.pw_uid:
        raise Refused(
            f"The home folder {home} belongs to user id {found.st_uid}, not to {name} ({account.pw_uid}).",
            remedy=f"An administrator can mend it: chown {name}: {home}",
        )
    if found.st_mode & stat.S_IWOTH:
        raise Refused(f"The home folder {home} can be written by everybody.", remedy=f"Mend it: chmod o-w {home}")


def passwd_file(person: Person, base: str, shell: str) -> str:
    """Return an image's /etc/passwd with the person in it, in the place of who has the name or the id there."""
    line = f"{person.name}:x:{person.uid}:{person.gid}:{person.name}:{person.home}:{shell}"
    return _with(base, [(person.name, person.uid, line)])


def group_file(person: Person, base: str) -> str:
    """Return an image's /etc/group with the person's groups in it."""
    return _with(base, [(name, gid, f"{name}:x:{gid}:{person.name}") for name, gid in person.groups])


def _with(base: str, ours: list[tuple[str, int, str]]) -> str:
    names, ids = {name for name, _, _ in ours}, {str(number) for _, number, _ in ours}
    lines = []
    for line in base.splitlines():
        parts = line.split(":")
        if len(parts) > 2 and parts[0] not in names and parts[2] not in ids:
            lines.append(line)
    return "\n".join([*lines, *(line for _, _, line in ours)]) + "\n"


def _groups(account: pwd.struct_passwd) -> tuple[tuple[str, int], ...]:
    found = []
    for gid in dict.fromkeys([account.pw_gid, *os.getgrouplist(account.pw_name, account.pw_gid)]):
        try:
            name = grp.getgrgid(gid).gr_name
        except KeyError:
            name = f"group{gid}"
        if gid == account.pw_gid or (gid and name not in policy.PRIVILEGED_GROUPS):
            found.append((name, gid))
    return tuple(found)
