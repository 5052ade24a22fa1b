"""Doing in a home what `merge` decided, file by file, so that each is whole or not there. Standard library only."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from hubwright.content.home import Blocked, Changed, Home
from hubwright.content.merge import WRITES, Original, Step
from hubwright.content.record import Record
from hubwright.errors import printable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PROBLEMS = 20
_SAVE_EVERY = 1.0
_BLOCK = 2**20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
Tell = Callable[[dict[str, Any]], None]


@dataclass
class Work:
    """The steps of one content in one home."""

    name: str
    """The content's."""
    target: str
    """The folder of the home that it goes to; paths begin with it."""
    home: Home
    place: int
    """The open folder in the home where records are."""
    staging: int
    """An open, empty folder on the same file system, for what is being written."""
    tree: int
    """The open folder with the originals."""
    record: Record
    files: dict[str, Original]
    done: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What could not be done, the first twenty."""
    _number: int = 0

    def do(self, steps: list[Step], tell: Tell) -> str:
        """Do them, and note each in the record; return why the rest was left, or ""."""
        total, written = sum(step.what in WRITES for step in steps), 0
        saved = time.monotonic()
        for step in steps:
            try:
                written += self._write(step)
            except (Changed, Blocked, FileNotFoundError, FileExistsError):
                self._lose(step.path, "was changed just now")
                continue
            except OSError as error:
                if error.errno in FULL:
                    return f"{words(error)} ({written} of {total} are done; the next time does the rest)"
                self._lose(step.path, words(error))
                continue
            self._note(step)
            if time.monotonic() - saved > _SAVE_EVERY:
                saved = time.monotonic()
                tell({"name": self.name, "files": written, "of": total})
                if why := self.save():
                    return why
        return ""

    def save(self) -> str:
        """Write the record; return why that failed, or ""."""
        try:
            staged = self._stage(lambda file: _fill(file, self.record.encode()), 0o600)
            os.rename(staged, f"{self.name}.json", src_dir_fd=self.staging, dst_dir_fd=self.place)
        except OSError as error:
            return words(error)
        return ""

    def _note(self, step: Step) -> None:
        self.done.append(step)
        if step.what == "full":
            self._lose(step.path, step.why)
        if step.what == "remove":
            self.record.files.pop(step.path, None)
        elif step.after:
            self.record.files[step.path] = step.after

    def _write(self, step: Step) -> bool:
        """Do a step; whether there was anything to write."""
        if step.what not in WRITES:
            return False
        if step.what == "remove":
            self.home.remove(step.place, step.expected, (self.staging, self._name()))
            return True
        original = self.files[step.path]
        if original.link:
            staged = self._name()
            os.symlink(original.link, staged, dir_fd=self.staging)
        else:
            mode = 0o755 if original.executable else 0o644
            staged = self._stage(lambda file: self._copy(step.path, original, file), mode)
        if step.what == "update":
            self.home.replace((self.staging, staged), step.place, step.expected)
        else:
            self.home.put((self.staging, staged), step.place)
        return True

    def _stage(self, fill: Callable[[int], None], mode: int) -> str:
        """Return the name of a new file that is whole and on the disk."""
        name = self._name()
        file = os.open(name, _NEW, 0o600, dir_fd=self.staging)
        try:
            fill(file)
            os.fchmod(file, mode)
            os.fsync(file)
        except BaseException:
            os.unlink(name, dir_fd=self.staging)
            raise
        finally:
            os.close(file)
        return name

    def _copy(self, path: str, original: Original, file: int) -> None:
        inner = path[len(self.target) + 1 :]
        source = os.open(inner, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.tree)
        told = sha256()
        try:
            while data := os.read(source, _BLOCK):
                told.update(data)
                _fill(file, data)
        finally:
            os.close(source)
        if told.hexdigest() != original.digest:
            raise OSError(errno.EIO, "the original is damaged")

    def _name(self) -> str:
        self._number += 1
        return f"{self.name}.{self._number}"

    def _lose(self, path: str, why: str) -> None:
        if len(self.problems) < _PROBLEMS:
            self.problems.append(printable(f"{path[:300]}: {why}"))


def words(error: Exception) -> str:
    """Return an error for people."""
    if isinstance(error, OSError):
        if error.errno in FULL:
            return "the disk is full, or the quota is used up"
        if error.errno == errno.EROFS:
            return "this home can only be read"
        return printable(error.strerror or str(error))
    return printable(str(error))


def _fill(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
