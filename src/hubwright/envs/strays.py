"""What a package has left under the account of its build: it must not see the next build, which gets this account.

Programs that run, files where everybody may make some, and memory that processes share by a number (sysvipc(7)).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OPEN = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock")  # noqa: S108 (they are swept, not used)
"""Where every account of the machine may make files."""
_PATIENCE = 10.0
"""Seconds for the kernel to let go of what was killed; it may hold much memory."""
_AT_ONCE = 500
_SHARED = {"shm": "--shmem-id", "msg": "--queue-id", "sem": "--semaphore-id"}
_KILL_ALL = (sys.executable, "-I", "-S", "-c", "import os; os.kill(-1, 9)")


def clear(uid: int) -> bool:
    """End what runs as an account and remove what it has left; for root. Return whether it is nobody's now.

    It is not when something does not end, or a container has the same number for an account of its own.
    """
    if not end(uid):
        return False
    _remove([path for place in map(Path, OPEN) for path in _of(place, uid)])
    for kind, flag in _SHARED.items():
        for number in _shared(kind, uid):
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(["ipcrm", flag, number], check=False, capture_output=True, timeout=60)
    return True


def end(uid: int) -> bool:
    """End every process of an account, but those in containers; return whether none is left."""
    until, before = time.monotonic() + _PATIENCE, False
    while True:
        ours, others = living(uid)
        if not ours or time.monotonic() > until:
            return not ours and not others
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if before and not others:  # some start others faster than they are listed: Linux ends all of an account at once
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(_KILL_ALL, user=uid, group=uid, extra_groups=[], cwd="/", timeout=5, check=False)
        if before:
            time.sleep(0.02)
        before = True


def living(uid: int) -> tuple[list[int], list[int]]:
    """Return the processes that have an account among their user ids: those of this machine, those of containers."""
    ours: list[int] = []
    others: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = _status(place)
            if str(uid) in told["Uid"].split() and not _is_over(place, told):
                (others if _is_contained(place) else ours).append(int(place.name))
    return ours, others


def _is_over(place: Path, told: dict[str, str]) -> bool:
    """Whether it waits for its parent only. Its first thread may have ended before the others."""
    tasks = (_status(task) for task in place.glob("task/*")) if _ended(told) else iter([told])
    return all(map(_ended, tasks))


def _ended(told: dict[str, str]) -> bool:
    return told["State"].startswith(("Z", "X"))


def _is_contained(place: Path) -> bool:
    """Whether root has given it another namespace of processes; whoever makes one without being root is not "ours" in
    its namespace of users either.
    """
    here = Path("/proc/self/ns")
    pids, users = ((place / "ns" / kind).readlink() == (here / kind).readlink() for kind in ("pid", "user"))
    return users and not pids


def _status(place: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)


def _shared(kind: str, uid: int) -> Iterator[str]:
    """Yield the numbers of what an account shares by number (proc(5), /proc/sysvipc)."""
    with suppress(OSError):
        head, *rows = (line.split() for line in Path("/proc/sysvipc", kind).read_text().splitlines())
        for row in rows:
            told = dict(zip(head, row, strict=False))
            if str(uid) in (told["uid"], told["cuid"]):
                yield row[1]


def _of(place: Path, uid: int) -> Iterator[str]:
    """Yield what an account has in a folder, where others may remove things meanwhile."""
    for path in place.iterdir() if place.is_dir() else ():
        with suppress(FileNotFoundError):
            if path.lstat().st_uid == uid:
                yield str(path)


def _remove(paths: list[str]) -> None:
    """Remove files and folders: by a program, as somebody may have nested folders deeper than Python can."""
    for first in range(0, len(paths), _AT_ONCE):
        command = ["rm", "-rf", "--one-file-system", "--", *paths[first : first + _AT_ONCE]]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, capture_output=True, timeout=600)
