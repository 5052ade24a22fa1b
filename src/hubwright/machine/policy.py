"""The one rule whom the privileged programs may serve. Standard library only: root's programs import it.

`hubwright up`, run by root, compiles hub.yaml to `site.policy`, a root-owned file. The hub's account cannot change it,
so a hub that was taken over cannot reach accounts that root did not name.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.errors import MachineError, Refused
from hubwright.machine import sudoers
from hubwright.machine.accounts import USERS_GROUP

PRIVILEGED_GROUPS = frozenset(
    {"root", "sudo", "wheel", "admin", "shadow", "disk", "docker", "lxd", "incus-admin", "libvirt", "kmem", "staff"}
)
"""Whoever is in one of them can become root; `staff` because Debian lets it write in /usr/local."""
LIMITS = ("memory", "cpu", "processes")
BOUNDS = (*LIMITS, "total_memory", "total_cpu", "reserve_memory", "reserve_cpu", "gpus", "servers")
"""Names of numbers: of a server, of all servers of a user, what a server may keep for itself, and how many he has."""
ROOM = ("cap_memory", "cap_cpu", "margin_memory", "margin_cpu")
"""Names of numbers: what all servers may take together, and what the machine keeps."""
_KEYS = frozenset(
    {
        *("all", "groups", "users", "admit", "service", "create", "limits", "limits_of", "room", "ids"),
        *("hide_gpus", "gpus", "teams"),
    }
)
_NO_LOGIN = frozenset({"nologin", "false", "sync", "shutdown", "halt"})
_FIRST_PERSON = 1000
_NOBODY = 65534
_LARGEST = 2**62
Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Team:
    """A group that works together in a server of its own."""

    group: str
    """Its Unix group; the first one of the server's account."""
    folder: str
    """The folder that they share."""


@dataclass(frozen=True)
class Policy:
    """Whom to serve: everybody, members of groups, or single people; `admit` lists privileged accounts by name."""

    all: bool = False
    groups: frozenset[str] = frozenset({USERS_GROUP})
    users: frozenset[str] = frozenset()
    admit: frozenset[str] = frozenset()
    service: str = "login"
    """The PAM service that checks passwords."""
    create: bool = False
    """Whether accounts may be made for names that this machine does not know yet."""
    limits: Numbers = field(default_factory=lambda: dict.fromkeys(BOUNDS), hash=False)
    """By `BOUNDS`, the most that a server may be given, in bytes, processors, processes; None is no limit, and for a
    reserve and GPUs nothing."""
    limits_of: dict[str, Numbers] = field(default_factory=dict, hash=False)
    """The same for single people, in place of `limits`."""
    room: Numbers | None = field(default=None, hash=False)
    """By `ROOM`; None where hub.yaml has no `profiles`."""
    ids: tuple[int, int] | None = None
    """First and last of the numbers that only a roster gives; None where there is none."""
    hide_gpus: bool = False
    """Whether servers see only GPUs that they were granted; else those that their accounts may use."""
    gpus: tuple[str, ...] | None = None
    """The GPUs that may be granted; None for all of this machine."""
    teams: dict[str, Team] = field(default_factory=dict, hash=False)
    """By the accounts of their servers, which are nobody's: without password and shell."""

    def limits_for(self, user: str) -> Numbers:
        """Return the most that a server of `user` may be given."""
        return self.limits_of.get(user, self.limits)

    @property
    def reserves(self) -> bool:
        """Whether anybody may reserve anything."""
        everybody = (self.limits, *self.limits_of.values())
        return any(limits["reserve_memory"] or limits["reserve_cpu"] for limits in everybody)

    @classmethod
    def load(cls, path: Path, *, owner: int = 0) -> Policy:
        """Return the policy in a JSON file that belongs to user id `owner` and that nobody else may write.

        Raises:
            MachineError: it is missing, damaged, or somebody else's; nobody is served then.
        """
        remedy = 'Run "hubwright up" again: it writes it anew.'
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_uid != owner or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
                    raise MachineError("This file can be written by others than root.", where=str(path), remedy=remedy)
                return cls.parse(json.loads(file.read()))
        except (OSError, ValueError, TypeError) as error:
            raise MachineError(f"The policy cannot be read: {error}.", where=str(path), remedy=remedy) from error

    @classmethod
    def parse(cls, found: Any) -> Policy:
        """Return the policy of `{"all": bool, "groups": [..], "users": [..], "admit": [..], "service": name,
        "create": bool, "limits": {"memory": number, "cpu": number, ...}, "limits_of": {name: {...}}, "room": {...},
        "ids": [first, last], "hide_gpus": bool, "gpus": [..] or null,
        "teams": {account: {"group": name, "folder": path}}}`.

        Every key is optional, and so is every limit; null is none.

        Raises:
            TypeError, ValueError: anything else, also an unknown key.
        """
        if not isinstance(found, dict) or found.keys() - _KEYS:
            raise ValueError(f"it is not an object with the keys {', '.join(sorted(_KEYS))}")
        names = {}
        for key in ("groups", "users", "admit", "gpus"):
            listed = [] if found.get(key) is None else found[key]
            if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
                raise TypeError(f"{key} is not a list of names")
            names[key] = frozenset(listed)
        for key in ("all", "create", "hide_gpus"):
            if not isinstance(found.get(key, False), bool):
                raise TypeError(f"{key} is neither true nor false")
        service = found.get("service", "login")
        if not isinstance(service, str) or not service or "/" in service:
            raise TypeError("service is not the name of a PAM service")
        return cls(
            found.get("all", False),
            names["groups"] | {USERS_GROUP},
            names["users"],
            names["admit"],
            service,
            found.get("create", False),
            parse_limits(found.get("limits", {})),
            {name: parse_limits(one) for name, one in dict(found.get("limits_of", {})).items()},
            None if found.get("room") is None else parse_limits(found["room"], ROOM),
            None if found.get("ids") is None else _parse_range(found["ids"]),
            found.get("hide_gpus", False),
            None if found.get("gpus") is None else tuple(found["gpus"]),
            {name: Team(**one) for name, one in dict(found.get("teams", {})).items()},
        )


def may_serve(policy: Policy, entry: pwd.struct_passwd, groups: Iterable[str]) -> Refused | None:
    """Return None when the account may be served, else the refusal in words, to raise or to send.

    Args:
        policy: whom root lets in.
        entry: the account.
        groups: names of every group it is in, its first one included (`group_names`).
    """
    mine = frozenset(groups)
    name = entry.pw_name
    if team := policy.teams.get(name):
        return _unlike(team, entry, mine)
    if name not in policy.admit and (why := _privileged(entry, mine)):
        return Refused(
            f'The account "{name}" {why}, so Hubwright does not serve it.',
            remedy=f'Root can list it in hub.yaml: `engine: {{admit: ["{name}"]}}`.',
        )
    if policy.all or name in policy.users or mine & policy.groups:
        return None
    return Refused(
        f'The account "{name}" may not use this service.', remedy=f'Root can add it: "hubwright user add {name}".'
    )


def group_names(entry: pwd.struct_passwd) -> list[str]:
    """Return the names of every group an account is in, its first one first; ids without a name are left out."""
    names = []
    for gid in [entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid)]:
        try:
            name = grp.getgrgid(gid).gr_name
        except KeyError:
            continue
        if name not in names:
            names.append(name)
    return names


def find_account(name: str) -> pwd.struct_passwd | None:
    """Return the account called exactly `name`, or None; aliases that resolve to another name do not count."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
    return entry if entry.pw_name == name else None


def parse_limits(found: Any, names: tuple[str, ...] = BOUNDS) -> Numbers:
    """Return an object of numbers above zero or null, every name of `names` in it.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(found, dict) or found.keys() - set(names):
        raise ValueError(f"limits is not an object with the keys {', '.join(names)}")
    limits = {**dict.fromkeys(names), **found}
    for key, limit in limits.items():
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not (number and 0 < limit < _LARGEST):
            raise TypeError(f"the limit of {key} is not a number above zero")
    return limits


def _parse_range(found: Any) -> tuple[int, int]:
    whole = isinstance(found, list) and len(found) == 2 and all(type(number) is int for number in found)
    if not whole or not _FIRST_PERSON <= found[0] <= found[1]:
        raise TypeError("ids is not the first and last number of a range")
    return found[0], found[1]


def _unlike(team: Team, entry: pwd.struct_passwd, groups: frozenset[str]) -> Refused | None:
    """Return why an account is not one that was made for a group's own server; None when it is."""
    why = _privileged(entry, groups, login=False)
    if not why and Path(entry.pw_shell).name not in _NO_LOGIN:
        why = "has a login shell, so it may be a person's"
    if not why and group_names(entry)[:1] != [team.group]:
        why = f"has another first group than {team.group}"
    if not why:
        return None
    what = f'The account "{entry.pw_name}" {why}, so it runs no server of a group.'
    return Refused(what, remedy='Root can rename it; then "hubwright apply" makes the right one.')


def _privileged(entry: pwd.struct_passwd, groups: frozenset[str], *, login: bool = True) -> str:
    if entry.pw_uid == 0:
        return "is root"
    if entry.pw_uid < _FIRST_PERSON or entry.pw_uid == _NOBODY:
        return "is a system account"
    if login and Path(entry.pw_shell).name in _NO_LOGIN:
        return f"has no login shell ({entry.pw_shell})"
    if entry.pw_gid == 0:
        return "has root's group"
    if near := sorted(groups & PRIVILEGED_GROUPS):
        return f"can become root (it is in the group {near[0]})"
    named = sudoers.read()
    if entry.pw_name.lower() in named.users:
        return "can become root (sudo's configuration names it)"
    if near := sorted(group for group in groups if group.lower() in named.groups):
        return f"can become root (sudo's configuration names its group {near[0]})"
    return ""
