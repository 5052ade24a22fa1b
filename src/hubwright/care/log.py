"""Logs of the parts and of the users' servers: read their ends, keep them bounded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine.files import write_atomically

LIMIT = 5 * 2**20
"""Bytes after which a log is moved to `<name>.1` and begun anew."""


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a log, none when it cannot be read; reads at most 64 KB for each 100 lines."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65536 * (1 + count // 100)))
            return file.read().decode(errors="replace").splitlines()[-count:] if count > 0 else []
    except OSError:
        return []


def follow(path: Path) -> Iterator[str]:
    """Yield what was added to a log since the last time, from its end on; also after it was cut, or made anew."""
    place = path.stat().st_size if path.exists() else 0
    while True:
        try:
            with path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < place:
                    place = 0
                file.seek(place)
                text = file.read(2**20)
        except FileNotFoundError:
            text, place = b"", 0
        place += len(text)
        yield text.decode(errors="replace")


def bound(folders: Iterable[Path], limit: int = LIMIT) -> list[Path]:
    """Copy and truncate every log above `limit` bytes in `folders`; return those.

    The writers append (O_APPEND) and need not know. What they write between copy and truncation is lost, and all of it
    where no copy can be made, as on a full disk: the logs are bounded in any case. What cannot be cut is left.
    """
    cut = []
    for folder in folders:
        try:
            logs = [path for path in folder.iterdir() if path.suffix == ".log"]
        except OSError:
            continue
        cut += [path for path in logs if _cut(path, limit)]
    return cut


def _cut(path: Path, limit: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:  # gone since, or a link that somebody put there
        return False
    with os.fdopen(descriptor, "rb+") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size <= limit:
            return False
        try:
            file.seek(found.st_size - limit)
            with suppress(MachineError):
                write_atomically(path.with_name(path.name + ".1"), file.read(limit), 0o600, durable=False)
            os.ftruncate(file.fileno(), 0)
        except OSError:  # of one file: the others are cut all the same
            return False
        return True
