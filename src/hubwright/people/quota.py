"""How much disk a home or a shared folder may take, where its file system keeps quotas: quota(1), setquota(8).

A home's is its owner's quota. A folder's is that of a project (projects.py), whoever the files belong to.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubwright.errors import MachineError
from hubwright.machine.disk import QUOTA, parse_quota

SETQUOTA = "/usr/sbin/setquota"
REPQUOTA = "/usr/sbin/repquota"
Kind = Literal["user", "project"]
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_ON = {
    "user": re.compile(r"(?:^|,)(?:usrquota|uquota|quota|usrjquota=[^,]+|uqnoenforce)(?:,|$)"),
    "project": re.compile(r"(?:^|,)(?:prjquota|pquota)(?:,|$)"),
}
_OPTION = {"user": "quotas (usrquota)", "project": "quotas of projects (prjquota; ext4 and xfs have them)"}
_PROJECT = re.compile(r"^#(\d+)\s+\S+\s+\d+\s+\d+\s+(\d+)\s", re.MULTILINE)
"""A line of repquota(8): number, whether over a limit, KiB used, soft limit, hard limit."""
_KIB = 1024
_TAKES = 30


@dataclass(frozen=True)
class Mount:
    """The file system that homes or a shared folder are on."""

    device: str
    folder: str


def find(folder: Path, mounts: str | None = None, kind: Kind = "user") -> Mount | str:
    """Return the file system of a folder when it keeps quotas of a kind and they can be set, else why not, in words.

    Where the folder is not there yet, it is the file system on which it would be made.
    """
    there = next(one for one in (folder, *folder.parents) if one.exists())
    number = os.stat(there).st_dev  # noqa: PTH116
    wanted = f"{os.major(number)}:{os.minor(number)}"
    text = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        if (words := left.split())[2] != wanted:
            continue
        system, device, options = right.split(" ", 2)
        if not _ON[kind].search(options):
            return f"the file system of {folder} ({system}) is mounted without {_OPTION[kind]}"
        if not Path(SETQUOTA).exists() or not Path(QUOTA).exists():
            return "setquota and quota are not on this machine (apt install quota)"
        return Mount(device, words[4])
    return f"the file system of {folder} is not known"


def rounded(size: int) -> int:
    """Return the limit that a file system keeps for a size: whole KiB."""
    return -(-size // _KIB) * _KIB


def limit_of(name: str, mount: Mount) -> int | None:
    """Return the bytes that an account may take on a file system; None without a limit."""
    done = _run([QUOTA, "--user", "--no-wrap", "--raw-grace", name])
    found = parse_quota(done.stdout, mount.device)  # it leaves with 1 when something is over its limit
    return found[1] or None if found else None


def limits_of_projects(mount: Mount) -> dict[int, int | None]:
    """Return the bytes that each project may take that has files or a limit on a file system; None without a limit.

    Raises:
        MachineError: repquota failed.
    """
    done = _run([REPQUOTA, "--project", "--no-names", "--raw-grace", mount.folder])
    if done.returncode:
        raise MachineError(f"The quotas of {mount.folder} cannot be read: {done.stderr.strip() or done.returncode}")
    return {int(number): int(hard) * _KIB or None for number, hard in _PROJECT.findall(done.stdout)}


def set_limit(name: str, size: int | None, mount: Mount, kind: Kind = "user") -> None:
    """Let an account or a project take at most `size` bytes; None lifts the limit.

    Raises:
        MachineError: setquota failed.
    """
    blocks = str(rounded(size or 0) // _KIB)
    done = _run([SETQUOTA, f"--{kind}", name, blocks, blocks, "0", "0", mount.folder])
    if done.returncode:
        raise MachineError(f"The quota of {name} cannot be set: {done.stderr.strip() or done.returncode}")


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=_TAKES,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"{argv[0]} cannot be run: {error}") from error
