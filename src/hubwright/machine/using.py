"""Which processes use a folder: those that name it in command line or environment, or have mapped a file in it."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PIECE = 1 << 16
_TOLD_IN = ("cmdline", "environ", "maps")


@dataclass(frozen=True, order=True)
class User:
    """A process that uses a folder."""

    account: str
    """Whose it is: a name, or a number that has none here."""
    pid: int

    def __str__(self) -> str:
        return f"{self.account} (process {self.pid})"


def users(folders: Iterable[Path]) -> dict[Path, list[User]]:
    """Return who uses each of some folders, none of which is in another; folders that nobody uses are left out.

    Processes in containers count, too, where these see the folders by the same path. What may not be looked at is left
    out: of others' processes all but command lines, without root or where root lacks CAP_SYS_PTRACE (proc(5)). This
    process itself does not count.
    """
    spelled: dict[bytes, Path] = {}
    for folder in folders:
        spelled |= {os.fsencode(path): folder for path in (folder, folder.resolve())}
    if not spelled:
        return {}
    # something must follow that cannot be of the same name, so that the first version is not taken for the tenth
    pattern = re.compile(rb"(?:%s)(?=[^\w.-])" % b"|".join(map(re.escape, sorted(spelled, reverse=True))))
    longest = max(map(len, spelled))

    found: dict[Path, list[User]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        if place.name == str(os.getpid()):
            continue
        named = {spelled[one] for name in _TOLD_IN for one in _named(place / name, pattern, longest)}
        if named and (account := _account(place)) is not None:
            for folder in named:
                found.setdefault(folder, []).append(User(account, int(place.name)))
    return {folder: sorted(who) for folder, who in found.items()}


def _named(path: Path, pattern: re.Pattern[bytes], longest: int) -> set[bytes]:
    """Return what a file has of a pattern, a piece at a time: a process may have mapped very many files."""
    found: set[bytes] = set()
    rest = b""
    with suppress(OSError), path.open("rb", buffering=0) as file:  # its process has ended meanwhile, or is another's
        while piece := file.read(_PIECE):
            text = rest + piece
            found.update(pattern.findall(text))
            rest = text[-longest:]
    return found | {*pattern.findall(rest + b"\0")}


def _account(place: Path) -> str | None:
    """Return whose a process is; the owner of its folder would be root for one that may not be traced. None: ended."""
    try:
        lines = (place / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    uid = int(next(line.split()[1] for line in lines if line.startswith("Uid:")))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
