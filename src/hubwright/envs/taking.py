"""Taking over what the account without rights has made: plain files, copied; links and the rest stay behind."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hubwright.envs import trying
from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.machine import opening


@contextmanager
def bench(place: Path, site: Site) -> Iterator[Path]:
    """Give a new folder below `place` in which the account without rights may work; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=place, ignore_cleanup_errors=True) as folder:
        trying.give(Path(folder), site)
        try:
            yield Path(folder)
        finally:
            trying.end_all(site)  # what runs could put something there while it is removed


def take(
    source: Path, target: Path, place: Callable[[Path], Path] = lambda path: path, *, root: Path | None = None
) -> int:
    """Copy the plain files below `source` to `target`, as one's own, readable by all; return how many.

    Whatever another process does in `source` meanwhile, no link is followed and nothing outside is read.

    Args:
        source: a folder of the account without rights.
        target: a folder of one's own; files that are there already stay.
        place: where a file goes, by its path below `source`; both are relative.
        root: the folder, `target` or one above, that no link in it may lead out of.

    Raises:
        MachineError: one does, where a file would go.
    """
    count, seen = 0, set[Path]()
    for folder, _, names, descriptor in os.fwalk(source, follow_symlinks=False):
        below = Path(folder).relative_to(source)
        for name in names:
            try:
                opened = os.open(name, opening.FILE, dir_fd=descriptor)
            except OSError:
                continue  # a link, or gone
            with open(opened, "rb") as file:
                found = os.fstat(opened)
                path = target / place(below / name)
                if path.parent not in seen:
                    keep_inside(path.parent, root or target)
                    seen.add(path.parent)
                if not stat.S_ISREG(found.st_mode) or path.exists():
                    continue
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                with path.open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                path.chmod(0o755 if found.st_mode & 0o100 else 0o644)
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
                count += 1
    return count


def keep_inside(folder: Path, root: Path) -> None:
    """Refuse a folder that a link below `root`, such as packages bring, leads out of it: root would write there.

    Raises:
        MachineError: it is so.
    """
    if not folder.resolve().is_relative_to(root.resolve()):
        raise MachineError(f"A package has put a link where files go, and it leads out of the environment: {folder}.")


def make_plain(folder: Path) -> None:
    """Let everybody read and nobody but the owner change what lies below; programs keep no rights of their owner's."""
    for path, _, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        Path(path).chmod(0o755)
        for name in names:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            wanted = 0o755 if found.st_mode & 0o111 else 0o644
            if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != wanted:
                os.chmod(name, wanted, dir_fd=descriptor)
