"""Folders that a group shares: set-group-id, and a default ACL that makes new files the group's whatever the umask."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine import acl
from hubwright.machine.files import weak_component

ACL = acl.pack(owner=7, group=7, other=0)
"""`user::rwx group::rwx other::---`."""
NO_ACL = "its file system keeps no ACLs: what somebody makes there can be changed by the others only with umask 007"


@dataclass(frozen=True)
class Found:
    """What a shared folder is like now."""

    exists: bool
    gid: int = -1
    mode: int = 0
    acl: bool | None = None
    """Whether it has our default ACL; None where the file system keeps none."""


@dataclass(frozen=True)
class Wanted:
    """A folder that a group shares, or everybody."""

    folder: Path
    group: str | None


def is_right(found: Found, gid: int, everybody: bool) -> bool:
    """Whether a folder is as it should be."""
    return found.exists and found.gid == gid and found.mode == mode_of(everybody) and found.acl is not False


def mode_of(everybody: bool) -> int:
    """Return the mode; where everybody shares, nobody removes what is another's (the sticky bit)."""
    return 0o3770 if everybody else 0o2770


def look(folder: Path) -> Found:
    """Return what is there.

    Raises:
        MachineError: a link, a file, a folder that is not root's, or one on whose way others could replace something.
    """
    if weakness := weak_component(folder.parent):
        raise MachineError(f"{weakness}: root shares nothing there.", where=str(folder))
    try:
        descriptor = _open(folder)
    except FileNotFoundError:
        return Found(False)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != 0:
            raise MachineError(
                f"belongs to user id {found.st_uid}, not to root.", where=str(folder), remedy="Name another folder."
            )
        return Found(True, found.st_gid, stat.S_IMODE(found.st_mode), _has_acl(descriptor))
    finally:
        os.close(descriptor)


def ensure(folder: Path, gid: int, everybody: bool) -> None:
    """Make the folder, or put group, mode and default ACL of the one that is there right; nothing in it is touched.

    Raises:
        MachineError: as `look`, or the disk does not take it.
    """
    try:
        if not look(folder).exists:
            for parent in reversed(folder.parents):
                if not parent.exists():
                    parent.mkdir(mode=0o755)
                    parent.chmod(0o755)
            folder.mkdir(mode=0o700)
        descriptor = _open(folder)
        try:
            if os.fstat(descriptor).st_uid != 0:
                raise MachineError("belongs to somebody else.", where=str(folder))
            os.fchown(descriptor, 0, gid)
            try:
                os.setxattr(descriptor, acl.DEFAULT, ACL)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
            os.fchmod(descriptor, mode_of(everybody))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MachineError(f"cannot be shared: {error.strerror}.", where=str(folder)) from error


def _open(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "is a link or no folder." if error.errno in {errno.ELOOP, errno.ENOTDIR} else f"{error.strerror}."
        raise MachineError(what, where=str(folder), remedy="Move it away, or name another folder.") from error


def _has_acl(descriptor: int) -> bool | None:
    try:
        return os.getxattr(descriptor, acl.DEFAULT) == ACL
    except OSError as error:
        return False if error.errno == errno.ENODATA else None
