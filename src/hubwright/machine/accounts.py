"""Unix accounts and groups that the service itself needs."""

from __future__ import annotations

import grp
import pwd
import subprocess
from pathlib import Path

from hubwright.errors import MachineError

USERS_GROUP = "hubwright-users"
"""Accounts that people got through Hubwright are members of it."""
READERS = "hubwright-build"
"""The group that may read every shared environment: who builds and who forks is in it, and nobody who logs in."""
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_FIRST_PERSON = 1000


def ensure_group(name: str) -> int:
    """Make the system group `name` unless it is there; return its id."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        _run(["groupadd", "--system", "--force", name])
        return grp.getgrnam(name).gr_gid


def ensure_system_account(name: str, *, closed: bool = False) -> int:
    """Make the system account `name`, without home, shell or password, unless it is there; return its id.

    One that is `closed` has expired, so that cron and at run nothing for it.

    An account of that name that belongs to a person, or is root, is refused: the hub would run as them.
    """
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        ensure_group(name)
        options = ["--system", "--gid", name, "--no-create-home", "--home-dir", "/nonexistent", "--shell", no_login()]
        _run(["useradd", *options, "--comment", "Hubwright", name])
        uid = pwd.getpwnam(name).pw_uid
    if uid == 0 or uid >= _FIRST_PERSON:
        raise MachineError(
            f'The account "{name}" is a person\'s (user id {uid}); Hubwright needs it as a system account.',
            remedy=f'Rename that account with "usermod --login OTHER {name}".',
        )
    if closed and not _has_expired(name):  # useradd leaves this out for system accounts
        _run(["usermod", "--expiredate", "1970-01-02", name])
    return uid


def _has_expired(name: str) -> bool:
    """Whether shadow(5) says that an account has ended long ago."""
    lines = (line.split(":") for line in Path("/etc/shadow").read_text().splitlines())
    return any(line[0] == name and line[7] == "1" for line in lines)


def no_login() -> str:
    """Return the shell of accounts that nobody logs in to."""
    return next((shell for shell in ("/usr/sbin/nologin", "/sbin/nologin") if Path(shell).exists()), "/bin/false")


def _run(argv: list[str]) -> None:
    """Run an account tool; 9 is its code for "there already" (useradd(8)), when another start was faster."""
    try:
        done = subprocess.run(argv, env={"PATH": _PATH, "LANG": "C.UTF-8"}, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise MachineError(f"This machine has no {argv[0]}.", remedy="Install it: apt install passwd.") from None
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"{argv[0]} did not finish in 60 s.", remedy="Is another program holding /etc/passwd?"
        ) from None
    if done.returncode not in {0, 9}:
        raise MachineError(f"{' '.join(argv)} failed: {done.stderr.strip()}")
