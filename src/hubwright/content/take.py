"""Copies a source into a version's folder: a program of root's that looks at the source with another account's rights.

    python -I -m hubwright.content.take < request

The request is a `Wanted` as JSON. Every file is found and opened as `reader`, so that a link, or a second name of
somebody else's file, shows nobody more than that account sees; what is written is root's. No link is followed. The
last line of stdout has `"files"`, or an `"error"`. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from hubwright.content.home import Cannot, link_digest
from hubwright.content.merge import Original
from hubwright.content.naming import is_plain, leads_out
from hubwright.errors import printable
from hubwright.machine import opening

MOST = 100_000
"""Files of one content."""
RESERVE = 2**30
"""Bytes of the disk that contents never take."""
LEFT_OUT = frozenset({".git", ".ipynb_checkpoints", "__pycache__"})
_TRIES = 3
_BLOCK = 2**20


@dataclass(frozen=True)
class Wanted:
    """What is to be taken."""

    source: str
    tree: str
    """An empty folder that only root may change; "" to look only whether all of it could be read."""
    reader: tuple[int, int, tuple[int, ...]]
    """User id, group id, and further groups; those of this process for one without root."""
    inner: str = ""
    """The folder below the source; "" is all of it."""


class Taker:
    """One copy."""

    def __init__(self, wanted: Wanted) -> None:
        self.files: dict[str, Original] = {}
        self.left: list[str] = []
        self._wanted = wanted
        self._room = shutil.disk_usage(wanted.tree).free - RESERVE if wanted.tree else 0
        self._told = time.monotonic()

    def take(self) -> None:
        """Copy everything.

        Raises:
            Cannot: something cannot be read, or there is no room.
        """
        wanted = self._wanted
        with self._reading("."):
            folder = os.open(wanted.source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in wanted.inner.split("/") if wanted.inner else ():
            with self._reading(wanted.inner):
                folder = os.open(part, opening.FOLDER, dir_fd=folder)
        if wanted.tree:
            os.chmod(wanted.tree, 0o755)  # noqa: PTH101, S103 (in a folder of root's alone)
        self._folder(folder, os.open(wanted.tree, opening.FOLDER) if wanted.tree else None, "")

    def _folder(self, source: int, target: int | None, before: str) -> None:
        with self._reading(before), os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            path = before + name
            if name in LEFT_OUT:
                continue
            if not is_plain(path):
                self.left.append(printable(f"{path[:200]}: a name that cannot be used"))
                continue
            if len(self.files) >= MOST:
                raise Cannot(f"there are more than {MOST} files")
            try:
                self._one(source, target, name, path)
            except FileNotFoundError:
                continue  # gone since

    def _one(self, source: int, target: int | None, name: str, path: str) -> None:
        with self._reading(path):
            found = os.stat(name, dir_fd=source, follow_symlinks=False)
            link = os.readlink(name, dir_fd=source) if stat.S_ISLNK(found.st_mode) else ""
        if link:
            if leads_out(path, link):
                self.left.append(printable(f"{path}: a link that leads out of it"))
                return
            if target is not None:
                os.symlink(link, name, dir_fd=target)
            self.files[path] = Original(link_digest(link), link=link)
        elif stat.S_ISDIR(found.st_mode):
            with self._reading(path):
                inner = os.open(name, opening.FOLDER, dir_fd=source)
            try:
                self._inner(inner, target, name, path)
            finally:
                os.close(inner)
        elif stat.S_ISREG(found.st_mode):
            self._file(source, target, name, path)
        else:
            self.left.append(printable(f"{path}: neither a file nor a folder"))

    def _inner(self, source: int, target: int | None, name: str, path: str) -> None:
        if target is None:
            self._folder(source, None, f"{path}/")
            return
        os.mkdir(name, 0o755, dir_fd=target)
        made = os.open(name, opening.FOLDER, dir_fd=target)
        try:
            self._folder(source, made, f"{path}/")
        finally:
            os.close(made)

    def _file(self, source: int, target: int | None, name: str, path: str) -> None:
        with self._reading(path):
            opened = os.open(name, opening.FILE, dir_fd=source)
        with open(opened, "rb", buffering=0) as file:
            if target is None:
                self.files[path] = Original("", os.fstat(opened).st_size)
                return
            for _ in range(_TRIES):
                before = os.fstat(opened)
                if not stat.S_ISREG(before.st_mode):
                    raise Cannot(f"{path} was changed while it was read")
                file.seek(0)
                digest, size = self._copy(file, target, name)
                after = os.fstat(opened)
                if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size) and size == after.st_size:
                    self.files[path] = Original(digest, size, bool(before.st_mode & 0o100))
                    self._tell()
                    return
        raise Cannot(f"{path} is being changed; try again")

    def _copy(self, file: Any, target: int, name: str) -> tuple[str, int]:
        told, size = sha256(), 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o644, dir_fd=target), "wb") as made:
            while data := file.read(_BLOCK):
                size += len(data)
                self._room -= len(data)
                if self._room < 0:
                    raise Cannot("there is no room for it on the disk of the state folder")
                told.update(data)
                made.write(data)
        return told.hexdigest(), size

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Have the reader's rights, and no others."""
        uid, gid, groups = self._wanted.reader
        root = os.geteuid() == 0
        if root:
            before = os.getgroups()
            os.setgroups(groups)
            os.setegid(gid)
            os.seteuid(uid)
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOENT and path not in {".", self._wanted.inner}:
                raise
            where = printable(path.rstrip("/")) if path not in {"", "."} else "it"
            raise Cannot(f"{where} cannot be read: {error.strerror}") from error
        finally:
            if root:
                os.seteuid(0)
                os.setegid(0)
                os.setgroups(before)

    def _tell(self) -> None:
        if time.monotonic() - self._told > 1:
            self._told = time.monotonic()
            tell({"taken": len(self.files)})


def tell(told: dict[str, Any]) -> None:
    """Write a line of JSON."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the request on stdin says."""
    asked = json.load(sys.stdin)
    uid, gid, groups = asked["reader"]
    wanted = Wanted(asked["source"], asked["tree"], (uid, gid, tuple(groups)), asked["inner"])
    os.umask(0o022)
    taker = Taker(wanted)
    try:
        taker.take()
    except Cannot as error:
        tell({"error": str(error)})
    except OSError as error:
        tell({"error": error.strerror or str(error)})
    else:
        tell({"files": {path: list(asdict(one).values()) for path, one in taker.files.items()}, "left": taker.left})


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
