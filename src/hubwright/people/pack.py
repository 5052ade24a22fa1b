"""One home into an archive, out of one, or emptied: a program that root starts and that becomes the home's owner first.

    python -I -m hubwright.people.pack create NAME UID GID HOME LARGEST > archive
    python -I -m hubwright.people.pack verify NAME UID GID HOME LARGEST < archive
    python -I -m hubwright.people.pack restore NAME UID GID HOME LARGEST FOLDER SIZE < archive
    python -I -m hubwright.people.pack empty NAME UID GID HOME LARGEST

An archive begins where its file stands, and SIZE is how many bytes of it there are: others may follow.
What a user made is touched with that user's own rights only, through descriptors of folders, and no link is followed.
Having been root, it cannot be traced by its user (prctl(2), PR_SET_DUMPABLE). It tells how far it is as JSON lines on
stderr; the last has `"done": true` or an `"error"`. Standard library only.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import secrets
import stat
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from hubwright.errors import printable
from hubwright.machine import becoming, opening
from hubwright.machine.disk import be_idle, mounted_below

DEEPEST = 100
"""Folders in folders; deeper ones are left out of an archive."""
MOST = 5_000_000
"""Entries."""
_TOLD = 20
_BLOCK = 2**20
_MOUNTED = "is a mount point"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Bad(Exception):
    """It cannot be done, in words."""


class Progress:
    """How far it is, told once a second."""

    def __init__(self) -> None:
        self.entries = self.bytes = self.lost_count = 0
        self.lost: list[str] = []
        self._told = time.monotonic()

    def add(self, entries: int, size: int) -> None:
        """Count, and tell when it is time."""
        self.entries += entries
        self.bytes += size
        if time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            self.tell()

    def lose(self, path: str, why: str) -> None:
        """Note what could not be taken."""
        self.lost_count += 1
        if len(self.lost) < _TOLD:
            self.lost.append(printable(f"{path[:200]}: {why}"))

    def tell(self, **more: Any) -> None:
        """Tell now."""
        told = {"entries": self.entries, "bytes": self.bytes, "lost_count": self.lost_count, "lost": self.lost, **more}
        sys.stderr.write(json.dumps(told) + "\n")
        sys.stderr.flush()


class Packer:
    """Writes a home as a tar stream."""

    def __init__(self, tar: tarfile.TarFile, largest: int, progress: Progress) -> None:
        self._tar, self._largest, self._progress = tar, largest, progress
        self._device = -1
        self._linked: dict[int, str] = {}
        self._top = ""
        self._mounted: frozenset[str] = frozenset()

    def pack(self, folder: int) -> None:
        """Write everything below a folder, but nothing that is mounted there."""
        self._device = os.fstat(folder).st_dev
        self._top = _path(folder)
        self._mounted = mounted_below(self._top)
        self._walk(folder, "", 0)

    def _walk(self, folder: int, before: str, depth: int) -> None:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            if self._progress.entries >= MOST:
                raise Bad(f"there are more than {MOST} files")
            path = before + name
            if f"{self._top}/{path}" in self._mounted:  # not even looked at: it may never answer
                self._progress.lose(path, _MOUNTED)
                continue
            try:
                self._one(folder, name, path, depth)
            except FileNotFoundError:
                continue  # gone since
            except OSError as error:
                if error.errno in {27, 28, 32}:  # EFBIG, ENOSPC, EPIPE: the archive itself
                    raise Bad(f"the archive cannot be written: {error.strerror}") from error
                self._progress.lose(path, error.strerror or "not readable")
            self._tar.members = []  # type: ignore[attr-defined]  # it would keep them all

    def _one(self, folder: int, name: str, path: str, depth: int) -> None:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        info = tarfile.TarInfo(path)
        info.mode, info.mtime = stat.S_IMODE(found.st_mode) & 0o777, found.st_mtime
        if stat.S_ISDIR(found.st_mode):
            self._folder(folder, name, info, found, depth)
        elif stat.S_ISLNK(found.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=folder)
            self._tar.addfile(info)
            self._progress.add(1, 0)
        elif stat.S_ISREG(found.st_mode):
            self._file(folder, name, info)
        # sockets and pipes hold nothing

    def _folder(self, folder: int, name: str, info: tarfile.TarInfo, found: os.stat_result, depth: int) -> None:
        if found.st_dev != self._device:
            self._progress.lose(info.name, "is on another file system")
            return
        if depth >= DEEPEST:
            self._progress.lose(info.name, f"is deeper than {DEEPEST} folders")
            return
        inner = os.open(name, opening.FOLDER, dir_fd=folder)
        try:
            info.type = tarfile.DIRTYPE
            self._tar.addfile(info)
            self._progress.add(1, 0)
            self._walk(inner, f"{info.name}/", depth + 1)
        finally:
            os.close(inner)

    def _file(self, folder: int, name: str, info: tarfile.TarInfo) -> None:
        with open(os.open(name, opening.FILE, dir_fd=folder), "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError(0, "changed while it was read")
            if found.st_nlink > 1 and (first := self._linked.setdefault(found.st_ino, info.name)) != info.name:
                info.type, info.linkname = tarfile.LNKTYPE, first
                self._tar.addfile(info)
                self._progress.add(1, 0)
                return
            if self._progress.bytes + found.st_size > self._largest:
                self._linked.pop(found.st_ino, None)
                raise OSError(0, "is more than there is room for")
            info.size = found.st_size
            self._tar.addfile(info, _Exactly(file, found.st_size, self._progress))  # type: ignore[arg-type]
            self._progress.add(1, 0)


class _Exactly:
    """A file as so many bytes, whatever becomes of it meanwhile: cut, or filled with zeros."""

    def __init__(self, file: IO[bytes], size: int, progress: Progress) -> None:
        self._file, self._left, self._progress = file, size, progress

    def read(self, wanted: int) -> bytes:
        data = self._file.read(min(wanted, self._left, _BLOCK)) or b""
        while len(data) < min(wanted, self._left):
            more = self._file.read(min(wanted, self._left) - len(data))
            data += more or b"\0" * (min(wanted, self._left) - len(data))
        self._left -= len(data)
        self._progress.add(0, len(data))
        return data


class _First:
    """The first bytes of a stream."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, wanted: int) -> bytes:
        data = self._file.read(min(wanted, self._left))
        self._left -= len(data)
        return data


class Unpacker:
    """Writes a tar stream into a new, empty folder; whatever the stream says, nothing lands elsewhere."""

    def __init__(self, folder: int, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._modes: list[tuple[str, int]] = []

    def unpack(self, tar: tarfile.TarFile, largest: int) -> None:
        """Write all of it; at most `largest` bytes."""
        for info in tar:
            if self._progress.entries >= MOST or self._progress.bytes + info.size > largest:
                raise Bad("there is not enough room for all of it")
            try:
                self._one(tar, info)
            except OSError as error:
                if error.errno in {28, 122}:  # ENOSPC, EDQUOT
                    raise Bad(f"it does not fit: {error.strerror}") from error
                self._progress.lose(info.name, error.strerror or "cannot be written")
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
        for path, mode in reversed(self._modes):
            with self._parent(path) as (parent, name):
                os.chmod(name, mode, dir_fd=parent)

    def _one(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        with self._parent(info.name) as (parent, name):
            if info.isdir():
                os.mkdir(name, 0o700, dir_fd=parent)
                if info.mode & 0o777 != 0o700:
                    self._modes.append((info.name, info.mode & 0o777))
            elif info.issym():
                os.symlink(info.linkname, name, dir_fd=parent)
            elif info.islnk():
                with self._parent(info.linkname) as (other, first):
                    os.link(first, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
            elif info.isreg():
                self._file(tar, info, parent, name)
        self._progress.add(1, 0)

    def _file(self, tar: tarfile.TarFile, info: tarfile.TarInfo, parent: int, name: str) -> None:
        source = tar.extractfile(info)
        with open(os.open(name, _NEW, 0o600, dir_fd=parent), "wb") as file:
            while source is not None and (data := source.read(_BLOCK)):
                file.write(data)
                self._progress.add(0, len(data))
            file.flush()
            os.fchmod(file.fileno(), info.mode & 0o777)
            os.utime(file.fileno(), (info.mtime, info.mtime))

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the folder that an entry is in, and its name there."""
        *folders, name = path.rstrip("/").split("/")
        if len(folders) > DEEPEST or any(part in {"", ".", ".."} for part in (*folders, name)):
            raise OSError(0, "is no name that this program writes")
        opened = os.dup(self._folder)
        try:
            for part in folders:
                inner = os.open(part, opening.FOLDER, dir_fd=opened)
                os.close(opened)
                opened = inner
            yield opened, name
        finally:
            os.close(opened)


def empty(top: int, progress: Progress) -> None:
    """Remove everything in a folder but what is mounted there; what is too deep is moved up first."""
    for _ in range(1000):
        _empty(top, top, 0, progress, mounted_below(_path(top)))
        if not os.listdir(top) or progress.lost_count:
            return


def _path(folder: int) -> str:
    """Return where an open folder is, without asking its file system."""
    return os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH115


def _empty(top: int, folder: int, depth: int, progress: Progress, mounted: frozenset[str]) -> None:
    for name in os.listdir(folder):
        if mounted and f"{_path(folder)}/{name}" in mounted:
            progress.lose(name, _MOUNTED)
            continue
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
            elif depth >= DEEPEST:
                os.rename(name, f".removed-{secrets.token_hex(8)}", src_dir_fd=folder, dst_dir_fd=top)
            else:
                _empty_folder(top, folder, name, depth, progress, mounted)
        except FileNotFoundError:
            continue
        except OSError as error:
            progress.lose(name, error.strerror or "cannot be removed")
        progress.add(1, 0)


def _empty_folder(top: int, folder: int, name: str, depth: int, progress: Progress, mounted: frozenset[str]) -> None:
    try:
        inner = os.open(name, opening.FOLDER, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        inner = os.open(name, opening.FOLDER, dir_fd=folder)
    try:
        if os.fstat(inner).st_mode & 0o700 != 0o700:
            os.fchmod(inner, 0o700)
        _empty(top, inner, depth + 1, progress, mounted)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


def become(name: str, uid: int, gid: int) -> None:
    """Become an account for good."""
    try:
        becoming.become(name, uid, gid)
    except becoming.Root as error:
        raise Bad(str(error)) from error
    os.umask(0o077)
    be_idle()


def main() -> None:
    """Do what the command line says."""
    what, name, uid, gid, home, largest, *rest = sys.argv[1:]
    progress = Progress()
    try:
        become(name, int(uid), int(gid))
        size = int(largest)
        if what == "create":
            end = os.lseek(1, 0, os.SEEK_CUR) + size
            resource.setrlimit(resource.RLIMIT_FSIZE, (end, end))
            folder = os.open(home, opening.FOLDER)
            with (
                gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=3, filename="") as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                Packer(tar, size, progress).pack(folder)
            sys.stdout.buffer.flush()
        elif what == "verify":
            with gzip.GzipFile(fileobj=sys.stdin.buffer) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
                for info in tar:
                    progress.add(1, info.size)
                    tar.members = []  # type: ignore[attr-defined]
        elif what == "restore":
            top = os.open(home, opening.FOLDER)
            os.mkdir(rest[0], 0o700, dir_fd=top)
            folder = os.open(rest[0], opening.FOLDER, dir_fd=top)
            part: Any = _First(sys.stdin.buffer, int(rest[1]))
            with gzip.GzipFile(fileobj=part) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
                Unpacker(folder, progress).unpack(tar, size)
        else:
            empty(os.open(home, opening.FOLDER), progress)
        progress.tell(done=True)
    except FileExistsError:
        progress.tell(error=f"there is a {rest[0] if rest else 'folder'} in this home already")
    except (Bad, OSError, EOFError, tarfile.TarError) as error:
        progress.tell(error=str(getattr(error, "strerror", "") or error))


if __name__ == "__main__":
    main()
