"""A home as its owner's own process sees and changes it: through descriptors, following no link. Standard library.

To be used by a process that has no rights but the owner's. Nothing is overwritten: what is new appears only where
nothing is, and what is replaced was looked at before, and is put back when it turns out to be something else.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from hubwright.content.merge import NOTHING, Found
from hubwright.machine import opening

_BLOCK = 2**20
_MOST_BELOW = 10_000
"""Entries of a folder that are looked at to know whether all of them were handed out."""
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""


class Cannot(Exception):
    """Nothing can be taken or handed out, in words."""


class Changed(Exception):
    """What was to be replaced or removed is not what it was a moment ago; it is as its owner left it."""


class Blocked(Exception):
    """There is something on the way that is no folder, or not of this file system."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by


class Home:
    """An open folder below which files are looked at, and put."""

    def __init__(self, folder: int) -> None:
        """Take an open descriptor of the folder, which the caller closes."""
        self._folder = folder
        self._device = os.fstat(folder).st_dev

    # Looking

    def look(self, path: str) -> Found:
        """Return what is at a path; what cannot be looked at is `other`, or blocks."""
        try:
            with self.parent(path) as (folder, name):
                return self._look(folder, name)
        except FileNotFoundError:
            return NOTHING
        except Blocked as way:
            return Found("blocked", by=way.by)

    def _look(self, folder: int, name: str) -> Found:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        try:
            if stat.S_ISLNK(found.st_mode):
                return Found("link", link_digest(os.readlink(name, dir_fd=folder)))
            if stat.S_ISDIR(found.st_mode):
                return Found("folder", below=self._below(folder, name))
            if stat.S_ISREG(found.st_mode):
                return Found("file", self._digest(folder, name))
        except PermissionError:
            pass
        return Found("other")

    def _digest(self, folder: int, name: str) -> str:
        with open(os.open(name, opening.FILE, dir_fd=folder), "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return digest(file.fileno())

    def _below(self, folder: int, name: str) -> frozenset[str] | None:
        """Return the paths, from the top folder, of all files in a folder."""
        found: set[str] = set()
        opened = os.open(name, opening.FOLDER, dir_fd=folder)
        try:
            top = os.readlink(f"/proc/self/fd/{self._folder}")  # noqa: PTH115
            whole = self._collect(opened, os.readlink(f"/proc/self/fd/{opened}")[len(top) + 1 :], found)  # noqa: PTH115
        finally:
            os.close(opened)
        return frozenset(found) if whole else None

    def _collect(self, folder: int, path: str, found: set[str], depth: int = 0) -> bool:
        if os.fstat(folder).st_dev != self._device or depth > 60:
            return False
        with os.scandir(folder) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in names:
            if len(found) >= _MOST_BELOW:
                return False
            if not is_folder:
                found.add(f"{path}/{name}")
                continue
            inner = os.open(name, opening.FOLDER, dir_fd=folder)
            try:
                if not self._collect(inner, f"{path}/{name}", found, depth + 1):
                    return False
            finally:
                os.close(inner)
        return True

    @contextmanager
    def parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the folder that a path is in, and the name there; `make` makes what is missing.

        Raises:
            Blocked: something on the way is no folder.
            FileNotFoundError: a folder is not there.
        """
        *folders, name = path.split("/")
        opened = os.dup(self._folder)
        try:
            for index, part in enumerate(folders):
                inner = self._enter(opened, part, "/".join(folders[: index + 1]), make)
                os.close(opened)
                opened = inner
            yield opened, name
        finally:
            os.close(opened)

    def _enter(self, folder: int, name: str, path: str, make: bool) -> int:
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700 if path.startswith(".") else 0o755, dir_fd=folder)
            inner = os.open(name, opening.FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EACCES} and not (make and error.errno == errno.EACCES):
                raise Blocked(path) from error
            raise
        if os.fstat(inner).st_dev != self._device:
            os.close(inner)
            raise Blocked(path)
        return inner

    # Changing

    def put(self, staged: tuple[int, str], path: str) -> None:
        """Have a finished file or link appear at a path where nothing is, or an empty folder.

        Raises:
            Changed: there is something by now.
        """
        with self.parent(path, make=True) as (folder, name):
            self._clear(folder, name)
            try:
                _appear(staged, (folder, name))
            except FileExistsError as error:
                raise Changed(path) from error

    def replace(self, staged: tuple[int, str], path: str, expected: str) -> None:
        """Have a finished file or link take the place of what has the digest `expected`, in one step.

        Raises:
            Changed: it was edited meanwhile; the edited one is where it was.
        """
        with self.parent(path) as (folder, name):
            if self._look(folder, name).digest != expected:
                raise Changed(path)
            before = _exchange(staged, (folder, name))
            if self._look(staged[0], before).digest != expected:  # saved in between
                _exchange((staged[0], before), (folder, name))
                raise Changed(path)

    def remove(self, path: str, expected: str, aside: tuple[int, str]) -> None:
        """Remove what has the digest `expected`, and the folders that are empty then.

        Raises:
            Changed: it was edited meanwhile; it is where it was.
        """
        with self.parent(path) as (folder, name):
            if self._look(folder, name).digest != expected:
                raise Changed(path)
            os.rename(name, aside[1], src_dir_fd=folder, dst_dir_fd=aside[0])
            if self._look(*aside).digest != expected:
                _appear(aside, (folder, name))
                raise Changed(path)
        self._leave(path)

    def _leave(self, path: str) -> None:
        """Remove the folders above a path that are empty."""
        while "/" in path:
            path = path.rpartition("/")[0]
            try:
                with self.parent(path) as (folder, name):
                    os.rmdir(name, dir_fd=folder)
            except (OSError, Blocked):
                return

    def _clear(self, folder: int, name: str) -> None:
        """Remove a folder in which there are only folders, if there is one."""
        try:
            inner = os.open(name, opening.FOLDER, dir_fd=folder)
        except OSError:
            return
        try:
            for below in os.listdir(inner):  # noqa: PTH208 (a descriptor)
                self._clear(inner, below)
        finally:
            os.close(inner)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=folder)


def digest(descriptor: int) -> str:
    """Return the digest of an open file, from its beginning."""
    told = sha256()
    while data := os.read(descriptor, _BLOCK):
        told.update(data)
    return told.hexdigest()


def link_digest(target: str) -> str:
    """Return the digest of a link, which no file has."""
    return "link:" + sha256(os.fsencode(target)).hexdigest()


def _appear(source: tuple[int, str], target: tuple[int, str]) -> None:
    """Rename to where nothing is; FileExistsError otherwise."""
    os.link(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0], follow_symlinks=False)
    os.unlink(source[1], dir_fd=source[0])


def _exchange(source: tuple[int, str], target: tuple[int, str]) -> str:
    """Put one file in the place of another in one step; return the name, beside the source, of what was there.

    Where the file system has no renameat2(2) (NFS), what was there gets a second name first.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(source[0], os.fsencode(source[1]), target[0], os.fsencode(target[1]), _EXCHANGE) == 0:
        return source[1]
    if (number := ctypes.get_errno()) not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(number, os.strerror(number), target[1])
    before = f"{source[1]}.before"
    os.link(target[1], before, src_dir_fd=target[0], dst_dir_fd=source[0], follow_symlinks=False)
    os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])
    return before
