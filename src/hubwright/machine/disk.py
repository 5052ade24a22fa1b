"""How much disk a home takes: by the file system's own quota where it keeps one, else counted file by file.

Standard library only: the account helper imports it, and calls it in a child that has become the user. Run as
`python -m hubwright.machine.disk FOLDER` it prints the answer of `measure` as JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

QUOTA = "/usr/bin/quota"
_QUOTA_TAKES = 10.0
_LINE = re.compile(r"\s*(\S+)\s+([0-9]+)\*?\s+([0-9]+)\s+([0-9]+)\s")
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Numbers of ioprio_set(2)."""
_IDLE = 3 << 13
_ESCAPE = re.compile(rb"\\([0-7]{3})")
"""As /proc/self/mountinfo writes blanks, line breaks and backslashes."""


def be_idle() -> None:
    """Give way to everybody else, for processor and disk (nice(2), ioprio_set(2))."""
    os.nice(19)
    if number := _IOPRIO_SET.get(platform.machine()):
        ctypes.CDLL(None).syscall(number, 1, 0, _IDLE)


def measure(home: Path, seconds: float, quota: str = QUOTA) -> dict[str, Any]:
    """Return what a home takes: `{"bytes": n, "limit": n or None, "whole": bool, "how": "quota" or "files"}`.

    For a process of the home's owner.

    Args:
        home: the folder. What is mounted in it is not counted, links are not followed, hard links count once.
        seconds: how long counting may take; what was counted by then is told, with `whole` false.
        quota: the program that is asked for the user's quota on that file system; need not be there.

    Raises:
        OSError: the folder cannot be read.
    """
    limit = None
    if (found := _by_quota(home, quota)) is not None:
        used, limit = found
        return {"bytes": used, "limit": limit or None, "whole": True, "how": "quota"}
    taken, whole = count(home, time.monotonic() + seconds)
    return {"bytes": taken, "limit": limit, "whole": whole, "how": "files"}


def count(home: Path, until: float) -> tuple[int, bool]:
    """Return bytes that a folder takes on its file system, and whether all of it was counted by `until` (monotonic).

    What is mounted in it is not even looked at: a file system that does not answer would hold the process for good.
    """
    top = os.stat(home)  # noqa: PTH116 (st_blocks)
    device, taken, whole = top.st_dev, top.st_blocks * 512, True
    twice: set[int] = set()
    todo = [os.path.realpath(home)]
    mounted = mounted_below(todo[0])
    os.scandir(home).close()  # raises when the folder itself cannot be read
    looked = 0
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    looked += 1
                    if looked % 256 == 0 and time.monotonic() > until:
                        return taken, False
                    if entry.path in mounted:
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        if found.st_dev != device:
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                        elif found.st_nlink > 1:
                            if found.st_ino in twice:
                                continue
                            twice.add(found.st_ino)
                        taken += found.st_blocks * 512
        except FileNotFoundError:
            continue
        except OSError:  # not readable, or a path that is too long
            whole = False
    return taken, whole


def mounted_below(folder: str) -> frozenset[str]:
    """Return the mount points inside a folder, by /proc/self/mountinfo: no file system is asked.

    Args:
        folder: its real, absolute path.
    """
    found = set()
    for line in Path("/proc/self/mountinfo").read_bytes().rstrip(b"\n").split(b"\n"):
        point = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
        found.add(os.fsdecode(point))
    return frozenset(point for point in found if point.startswith(folder.rstrip("/") + "/"))


def parse_quota(text: str, device: str) -> tuple[int, int] | None:
    """Return bytes used and the limit (0 for none) on a device, from what quota(1) prints; None when it is not there.

    Columns are filesystem, blocks of 1 KiB, quota, limit; a `*` marks what is over.
    """
    for line in text.splitlines():
        if (match := _LINE.match(line)) and os.path.realpath(match[1]) == os.path.realpath(device):
            used, soft, hard = (int(word) * 1024 for word in match.groups()[1:])
            return used, soft or hard
    return None


def _by_quota(home: Path, program: str) -> tuple[int, int] | None:
    if not Path(program).exists() or not (device := _device_of(home)):
        return None
    command = [program, "--user", "--no-wrap", "--raw-grace"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_QUOTA_TAKES, stdin=subprocess.DEVNULL,
            env={"LANG": "C", "PATH": "/usr/bin:/bin"}, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_quota(done.stdout, device)  # it leaves with 1 when something is over its limit


def _device_of(home: Path) -> str:
    """Return what is mounted where the folder is, as /proc/self/mountinfo names it; empty when that is not known."""
    number = os.stat(home).st_dev  # noqa: PTH116
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == wanted:
            return right.split()[1]
    return ""


def main() -> None:
    """Measure the folder named on the command line, for at most as many seconds as the second word says."""
    be_idle()
    print(json.dumps(measure(Path(sys.argv[1]), float(sys.argv[2]))))


if __name__ == "__main__":
    main()
