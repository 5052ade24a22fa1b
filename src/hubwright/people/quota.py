"""How much disk a home may take, where its file system keeps quotas: setquota(8) and quota(1)."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine.disk import QUOTA, parse_quota

SETQUOTA = "/usr/sbin/setquota"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_ON = re.compile(r"(?:^|,)(?:usrquota|uquota|quota|usrjquota=[^,]+|uqnoenforce)(?:,|$)")
_KIB = 1024
_TAKES = 30


@dataclass(frozen=True)
class Mount:
    """The file system that homes are on."""

    device: str
    folder: str


def find(folder: Path, mounts: str | None = None) -> Mount | str:
    """Return the file system of a folder when it keeps quotas of users and they can be set, else why not, in words."""
    number = os.stat(folder).st_dev  # noqa: PTH116
    wanted = f"{os.major(number)}:{os.minor(number)}"
    text = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        if (words := left.split())[2] != wanted:
            continue
        kind, device, options = right.split(" ", 2)
        if not _ON.search(options):
            return f"the file system of {folder} ({kind}) is mounted without quotas (usrquota)"
        if not Path(SETQUOTA).exists() or not Path(QUOTA).exists():
            return "setquota and quota are not on this machine (apt install quota)"
        return Mount(device, words[4])
    return f"the file system of {folder} is not known"


def limit_of(name: str, mount: Mount) -> int | None:
    """Return the bytes that an account may take on a file system; None without a limit."""
    done = _run([QUOTA, "--user", "--no-wrap", "--raw-grace", name])
    found = parse_quota(done.stdout, mount.device)  # it leaves with 1 when something is over its limit
    return found[1] or None if found else None


def set_limit(name: str, size: int, mount: Mount) -> None:
    """Let an account take at most `size` bytes.

    Raises:
        MachineError: setquota failed.
    """
    blocks = str(-(-size // _KIB))
    done = _run([SETQUOTA, "--user", name, blocks, blocks, "0", "0", mount.folder])
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
