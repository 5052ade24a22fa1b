"""Files and folders that other accounts may not tamper with: atomic writes, folders with a checked owner."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hubwright.errors import MachineError
from hubwright.machine import opening


@dataclass(frozen=True)
class Owner:
    """A user id and a group id."""

    uid: int
    gid: int

    @classmethod
    def of(cls, user: str, group: str | None = None) -> Owner:
        """Return the ids of an account and of `group`, its own first group unless named."""
        try:
            entry = pwd.getpwnam(user)
            return cls(entry.pw_uid, grp.getgrnam(group).gr_gid if group else entry.pw_gid)
        except KeyError:
            raise MachineError(f"This machine has no account or group {user}:{group or user}.") from None

    @classmethod
    def me(cls) -> Owner:
        """Return the ids this process runs with."""
        return cls(os.geteuid(), os.getegid())


def write_atomically(
    path: Path, data: bytes | str, mode: int, owner: Owner | None = None, *, durable: bool = True
) -> None:
    """Replace `path` by `data` in one step: a reader sees the old file or the new one, whole, with `mode` and `owner`.

    `durable` makes it survive a power cut; leave it out for what is rebuilt at the next start.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if owner is not None and owner != Owner.me():
                    os.fchown(file.fileno(), owner.uid, owner.gid)
                os.fchmod(file.fileno(), mode)
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise MachineError(f"Cannot write {path}: {error.strerror}.", remedy=_remedy(error)) from error


def open_plain(path: Path | str, *, folder: int | None = None) -> BinaryIO:
    """Open a plain file where another account may have put something else: no link is followed, no pipe waited for.

    `path` is looked for in the open `folder`, when one is given. Raises OSError; anything but a plain file is one.
    """
    descriptor = os.open(path, opening.FILE, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a plain file", str(path))


def read_plain(path: Path, most: int) -> bytes:
    """Return what a plain file holds, opened as `open_plain` does; OSError when it is larger than `most` bytes."""
    with open_plain(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def read_own(path: Path, most: int = -1) -> bytes:
    """Return what a file of this account's holds, `most` bytes of it at most; OSError when it cannot be read.

    Raises:
        MachineError: it is no plain file, or others than this account can write it.
    """
    with open(os.open(path, opening.FILE), "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            raise MachineError("This file can be written by others.", where=str(path))
        return file.read(most)


def make_folder(path: Path, mode: int, owner: Owner | None = None) -> Path:
    """Make the folder `path` (its parent must exist) or check the one that is there; return it.

    A symbolic link, a plain file, or a folder that belongs to someone else is refused. Mode and group are put right.
    """
    wanted = owner or Owner.me()
    try:
        path.mkdir(mode=0o700)
        fresh = True
    except FileExistsError:
        fresh = False
    except OSError as error:
        raise MachineError(f"Cannot make the folder {path}: {error.strerror}.", remedy=_remedy(error)) from error
    try:
        descriptor = os.open(path, opening.FOLDER)
    except OSError as error:
        raise MachineError(
            f"{path} is not a folder that can be used: {error.strerror}.", remedy="Move it away, then start again."
        ) from error
    try:
        found = os.fstat(descriptor)
        if not fresh and found.st_uid != wanted.uid:
            raise MachineError(
                f"The folder {path} belongs to {_name(found.st_uid)}, not to {_name(wanted.uid)}.",
                remedy="Move it away, then start again.",
            )
        if (found.st_uid, found.st_gid) != (wanted.uid, wanted.gid):
            os.fchown(descriptor, wanted.uid, wanted.gid)
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)
    except OSError as error:
        raise MachineError(f"Cannot set owner and mode of {path}: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    return path


def weak_component(path: Path, *, sticky_is_fine: bool = False) -> str:
    """Return a sentence on the first component of `path` that another account controls or cannot enter, or "".

    Every component that exists, links and their targets included, must be root's, enterable by everybody, and
    writable by nobody else. `sticky_is_fine` accepts a folder like /tmp, where others cannot rename what is root's.
    """
    for component in _components(path):
        try:
            found = component.stat()
        except FileNotFoundError:
            break
        if found.st_uid != 0:
            return f"{component} belongs to {_name(found.st_uid)}, not to root"
        if not stat.S_ISDIR(found.st_mode):
            continue
        if found.st_mode & 0o022 and not (sticky_is_fine and found.st_mode & stat.S_ISVTX):
            return f"{component} can be written by others than root"
        if not found.st_mode & 0o001:
            return f"{component} cannot be entered by ordinary users"
    return ""


def hidden_from(path: Path, account: str) -> Path | None:
    """Return the first component on the way to `path` that an account may not enter or read; None when it may all.

    An account that is not there yet is taken for one of the others.
    """
    try:
        entry = pwd.getpwnam(account)
        uid, groups = entry.pw_uid, set(os.getgrouplist(account, entry.pw_gid))
    except KeyError:
        uid, groups = -1, set()
    real = path.resolve()
    for place in (*reversed(real.parents), real):
        found = place.stat()
        wanted = 0o1 if place != real else 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
        shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
        if (found.st_mode >> shift) & wanted != wanted:
            return place
    return None


def _components(path: Path) -> list[Path]:
    """Every folder that is passed on the way to `path`: along the name as given, and along what it resolves to."""
    given, real = path.absolute(), path.resolve()
    ways = [given] if given == real else [given, real]
    return [folder for way in ways for folder in (*reversed(way.parents), way)]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def _remedy(error: OSError) -> str:
    match type(error).__name__, error.errno:
        case "PermissionError", _:
            return "Run it as the owner of that folder, or name another with --state."
        case _, 28 | 122:
            return "The disk is full: make room, then start again."
        case _:
            return ""
