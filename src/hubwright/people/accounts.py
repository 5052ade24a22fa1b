"""Unix accounts of people: made, joined to the service, and never taken over. Runs as root; standard library only."""

from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hubwright.errors import MachineError, Refused
from hubwright.machine import sudoers
from hubwright.machine.accounts import USERS_GROUP, ensure_group, no_login
from hubwright.machine.policy import PRIVILEGED_GROUPS, Policy, find_account, group_names, may_serve

_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,30}[a-z0-9_]|[a-z_]")
"""As `fields.check_user_name`, which imports pydantic; a test holds them equal."""
_FIRST, _LAST = 1000, 60000
"""Numbers of people, as login.defs(5) has them."""
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def check_name(name: object) -> str:
    """Return `name` when it is a Unix account name; `Refused` otherwise."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused(
            "This is not a user name.",
            remedy="Use 1 to 32 lower-case letters, digits, dots, dashes and underscores, beginning with a letter.",
        )
    return name


def served(policy: Policy, name: object) -> pwd.struct_passwd:
    """Return the account of that exact name when the policy lets it in; `Refused` otherwise."""
    entry = find_account(check_name(name))
    if entry is None:
        raise Refused(
            f'This machine has no account "{name}".', remedy=f'Root can make it: "hubwright user add {name}".'
        )
    if refusal := may_serve(policy, entry, group_names(entry)):
        raise refusal
    return entry


def ensure(policy: Policy, name: object, making: Callable[[], None] = lambda: None) -> bool:
    """Make the account when it is missing, with a home of its own; whether it was made.

    An account that is there is only looked at: this never lets anybody in whom the policy keeps out, because the hub
    asks for it, and the hub may have been taken over. `making` is called before an account is made, and may refuse.

    Raises:
        Refused: no name of an account, an account that the policy keeps out or does not let be made, a name that
            sudo's configuration waits for, or a home that is somebody else's.
        MachineError: the account tools failed.
    """
    wanted = check_name(name)
    entry = find_account(wanted)
    made = entry is None
    if made:
        if wanted in policy.teams:
            raise Refused(f'The account "{wanted}" is missing.', remedy='Root can make it: "hubwright apply".')
        if not policy.create:
            raise Refused(
                f'This machine has no account "{wanted}".', remedy=f'Root can make it: "hubwright user add {wanted}".'
            )
        making()
        _make(wanted, kept=policy.ids)
    ensure_home(served(policy, wanted))
    return made


def add(policy: Policy, name: object) -> bool:
    """Let a person in, for root: make the account, or join the one that is there to the service; whether it was made.

    Raises:
        Refused: not an account name, or a privileged account that hub.yaml does not admit.
    """
    wanted = check_name(name)
    entry = find_account(wanted)
    if entry is not None:
        groups = group_names(entry)
        if refusal := may_serve(policy, entry, [*groups, USERS_GROUP]):
            raise refusal
        if USERS_GROUP not in groups:
            ensure_group(USERS_GROUP)
            _run(["gpasswd", "--add", wanted, USERS_GROUP])
    return ensure(replace(policy, create=True), wanted)


def make_numbered(name: str, uid: int, team: str | None = None) -> None:
    """Make an ordinary account with a fixed number, without its home, for root; one that is there with it is fine.

    With `team` it is for that group's own server: it has no shell, and that group as its first one.

    Raises:
        Refused: the name or the number is another's, or sudo's configuration waits for the name.
        MachineError: the account tools failed.
    """
    entry = find_account(check_name(name))
    if entry is None:
        _make(name, uid, team=team)
    elif entry.pw_uid != uid:
        raise Refused(f'The account "{name}" has the number {entry.pw_uid} on this machine, not {uid}.')


def join(policy: Policy, name: str, group: str = USERS_GROUP) -> None:
    """Add an account to a group, for root; `Refused` when it may not be served even then."""
    entry = find_account(check_name(name))
    if entry is None:
        raise Refused(f'This machine has no account "{name}".')
    groups = group_names(entry)
    if refusal := may_serve(policy, entry, [*groups, USERS_GROUP]):
        raise refusal
    if group not in groups:
        if group == USERS_GROUP:
            ensure_group(USERS_GROUP)
        _run(["gpasswd", "--add", name, group])


def part(name: str, group: str) -> None:
    """Take an account out of a group, for root; fine when it is not in it."""
    entry = find_account(check_name(name))
    if entry is not None and name in grp.getgrnam(group).gr_mem:
        _run(["gpasswd", "--delete", name, group])


def make_group(name: str, gid: int) -> None:
    """Make a group with a fixed number, for root; one that is there with it is fine.

    Raises:
        Refused: the name is another group's, or one that means something to sudo.
    """
    if name in PRIVILEGED_GROUPS | sudoers.read().groups or name == USERS_GROUP:
        raise Refused(f'A group "{name}" means something to this machine.', remedy="Name it otherwise in the roster.")
    try:
        found = grp.getgrnam(name).gr_gid
    except KeyError:
        _run(["groupadd", "--gid", str(gid), "--", name])
        return
    if found != gid:
        raise Refused(
            f'This machine has a group "{name}" (number {found}) that Hubwright did not make.',
            remedy="Name the group otherwise in the roster.",
        )


def remove(name: str, uid: int) -> None:
    """Remove an account that Hubwright made, for root; its home stays where it is.

    Raises:
        Refused: the name has another number now, so it is somebody else.
        MachineError: a process still runs as that account.
    """
    entry = find_account(check_name(name))
    if entry is None:
        return
    if entry.pw_uid != uid:
        raise Refused(f'The account "{name}" has the number {entry.pw_uid} now, not {uid}: it is somebody else\'s.')
    _run(["userdel", "--", name])


def set_password(name: str, password: str) -> None:
    """Set the password of an account, for root (chpasswd(8)).

    Raises:
        Refused: it has a line break, or is empty.
    """
    if not password or any(mark in password for mark in "\n\r\0"):
        raise Refused("This is no password that can be set.")
    _run(["chpasswd"], text=f"{check_name(name)}:{password}\n")


def leave(name: str) -> None:
    """Take an account out of the service's group, for root; the account and its home stay."""
    entry = find_account(check_name(name))
    if entry is None or USERS_GROUP not in group_names(entry):
        return
    if grp.getgrnam(USERS_GROUP).gr_gid == entry.pw_gid:
        raise Refused(
            f'"{name}" has {USERS_GROUP} as its first group and stays known to this service.',
            remedy=f'Give it another: "usermod --gid users {name}".',
        )
    _run(["gpasswd", "--delete", name, USERS_GROUP])


def ensure_home(entry: pwd.struct_passwd) -> None:
    """Make a missing home, 0700 and filled from /etc/skel; `Refused` when what is there is not the account's."""
    home = Path(entry.pw_dir)
    try:
        found = home.lstat()
    except FileNotFoundError:
        parent = home.parent
        if not parent.is_dir() or parent.stat().st_uid != 0:
            raise Refused(f'The home of "{entry.pw_name}", {home}, is missing.', remedy="Root can make it.") from None
        _run(["mkhomedir_helper", entry.pw_name, "0077"])
        return
    if found.st_uid != entry.pw_uid:
        raise Refused(
            f'The home of "{entry.pw_name}", {home}, belongs to user id {found.st_uid}, not to {entry.pw_uid}.',
            remedy=f'Root can give it to its person ("chown -R {entry.pw_name}: {home}") or move it away.',
        )


def _make(name: str, uid: int | None = None, kept: tuple[int, int] | None = None, team: str | None = None) -> None:
    """Make an ordinary account with a locked password; with a number that is free and its home, or with `uid`.

    A free number is below the range `kept`, whose numbers are the roster's: there one could be a retired one.
    Its first group is its own, unless a group of that name exists or would mean something to sudo: an account called
    "admin" with a group "admin" may do everything on Ubuntu.
    """
    named = sudoers.read()
    if name in named.users:
        raise Refused(
            f'There is no account "{name}", and sudo\'s configuration names it: whoever got it could become root.',
            remedy="Take it out of /etc/sudoers and /etc/sudoers.d first.",
        )
    home = Path("/home", name)
    if os.path.lexists(home) and (uid is None or home.lstat().st_uid != uid):
        raise Refused(
            f'There is no account "{name}", but its home {home} exists and may be somebody\'s.',
            remedy=f"Root can move {home} away and try again.",
        )
    ensure_group(USERS_GROUP)
    if team is not None:
        group = ["--no-user-group", "--gid", team]
    elif name in PRIVILEGED_GROUPS | named.groups or _group_exists(name):
        group = ["--no-user-group", "--gid", USERS_GROUP]
    else:
        group = ["--user-group", "--groups", USERS_GROUP]
    shell = "/bin/bash" if team is None else no_login()
    options = ["--home-dir", str(home), "--shell", shell, "--comment", "Hubwright", *group]
    if uid is not None:
        for word in ("UID", "GID"):  # else a number above login.defs' own range would be warned of, or not kept
            options += ["--key", f"{word}_MIN=1000", "--key", f"{word}_MAX={2**31 - 2}"]
        _run(["useradd", "--no-create-home", "--uid", str(uid), *options, "--", name])
        return
    if kept is not None:
        options += _below(kept)
    _run(["useradd", "--create-home", "--key", "HOME_MODE=0700", *options, "--", name])
    home.chmod(0o700)


def _below(kept: tuple[int, int]) -> list[str]:
    """Return options of useradd(8) that give numbers below a range; `MachineError` when none is left there."""
    numbers = range(_FIRST, min(kept[0], _LAST + 1))
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    if all(number in taken for number in numbers):
        raise MachineError(
            f"No number from {_FIRST} to {min(kept[0] - 1, _LAST)} is left for an account, and {kept[0]} to {kept[1]} "
            "are the roster's.",
            remedy="Let the range people.ids in hub.yaml begin higher.",
        )
    bounds = ((f"{word}_MIN={_FIRST}", f"{word}_MAX={numbers[-1]}") for word in ("UID", "GID"))
    return [word for pair in bounds for bound in pair for word in ("--key", bound)]


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _run(argv: Sequence[str], tries: int = 20, text: str = "") -> None:
    """Run an account tool; another one at work holds a lock on /etc/passwd, so ask again for a few seconds."""
    for _ in range(tries):
        try:
            done = subprocess.run(argv, env=_ENVIRONMENT, capture_output=True, text=True, timeout=60, input=text)
        except FileNotFoundError:
            raise MachineError(f"This machine has no {argv[0]}.", remedy="Install it: apt install passwd.") from None
        except subprocess.TimeoutExpired:
            raise MachineError(f"{argv[0]} did not finish in 60 s.") from None
        if done.returncode == 0 or (argv[0] == "useradd" and done.returncode == 9 and find_account(argv[-1])):
            return
        if "lock" not in done.stderr:
            break
        time.sleep(0.25)
    raise MachineError(f"{argv[0]} failed: {done.stderr.strip() or done.returncode}")
