"""Accounts without any rights, which run what packages bring, so that root and the hub never do.

A build has one to itself: what runs as another can neither end, trace nor change it. They are few and fixed, and not a
new number for each build, since many programs ask what the name of their account is, and fail where it has none.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.envs import strays
from hubwright.errors import Refused
from hubwright.fields import Site
from hubwright.machine.accounts import READERS, ensure_group, ensure_system_account

ACCOUNT = "hubwright-build-{}"
"""By their number, from 1: each is made when first needed, with a group of its own; it owns nothing that stays."""
MOST = 8
"""How many builds may be under way on a machine."""
LOCKS = Path("/run/hubwright-build")
"""Root's folder with a file for each account that a build has had."""


@dataclass(frozen=True)
class Account:
    """One of them."""

    name: str
    uid: int
    readers: int
    """The id of `READERS`."""


_HELD: ContextVar[Account] = ContextVar("the account of the build that is under way")


@contextmanager
def account(site: Site) -> Iterator[None]:
    """Have an account that nobody else has, for what `identity` starts; without root there is only whoever asks.

    Nothing of an earlier build runs or lies about under it, and afterwards nothing of this one.

    Raises:
        Refused: as many builds as there may be are under way.
    """
    if not site.privileged:
        yield
        return
    with _free() as found:
        token = _HELD.set(found)
        try:
            yield
        finally:
            _HELD.reset(token)


def identity() -> dict[str, Any]:
    """Return how a process is started that may do nothing here: for `subprocess`, within `account`.

    It has no terminal: who has root's could type into it.
    """
    alone: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    if os.geteuid() == 0:
        held = _HELD.get()
        alone |= {"user": held.name, "group": held.name, "extra_groups": [held.readers]}
    return alone


def give(path: Path, site: Site) -> None:
    """Let a file or folder of one's own be the account's."""
    if site.privileged:
        shutil.chown(path, _HELD.get().name, _HELD.get().name)


def show(path: Path) -> None:
    """Let the account, and nobody else but the owner, read a file of one's own, or enter a folder."""
    if os.geteuid() == 0:
        shutil.chown(path, group=_HELD.get().name)
        path.chmod(0o750 if path.is_dir() else 0o640)


def end_all(site: Site) -> None:
    """End what still runs as the account."""
    if site.privileged:
        strays.end(_HELD.get().uid)


@contextmanager
def _free() -> Iterator[Account]:
    readers = ensure_group(READERS)
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    for number in range(1, MOST + 1):
        name = ACCOUNT.format(number)
        descriptor = os.open(LOCKS / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            uid = ensure_system_account(name, closed=True)
            if not strays.clear(uid):
                continue
            try:
                yield Account(name, uid, readers)
            finally:
                strays.clear(uid)
            return
        finally:
            os.close(descriptor)
    raise Refused(f"{MOST} environments are just being built.", remedy="Wait for one of them.")
