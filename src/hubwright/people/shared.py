"""Folders that people share: set-group-id, and ACLs that make new files what the folder is for, whatever the umask."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine import acl, opening
from hubwright.machine.files import weak_component

NO_ACL = "its file system keeps no ACLs: what somebody makes there can be changed by the others only with umask 007"


@dataclass(frozen=True)
class Found:
    """What a folder is like now."""

    exists: bool
    gid: int = -1
    mode: int = 0
    access: bytes | None = None
    """Its own ACL; None without one."""
    default: bytes | None = None
    """What new files in it get; None without one."""
    keeps: bool = True
    """Whether its file system keeps ACLs."""


@dataclass(frozen=True)
class Right:
    """How a folder of root's is to be."""

    gid: int
    mode: int
    default: bytes
    access: bytes | None = None
    """None where the mode says it all; what root has added then stays."""
    ids: frozenset[int] = frozenset()
    """Whose numbers stand in it."""

    def is_held(self, found: Found) -> bool:
        """Whether a folder is so, as far as its file system can hold it."""
        if not found.exists or (found.gid, found.mode) != (self.gid, self.mode):
            return False
        return not found.keeps or (found.default == self.default and self.access in (None, found.access))


def to_write(gid: int, everybody: bool) -> Right:
    """Return how a folder is that a group, or everybody, changes together.

    Where everybody shares, nobody removes what is another's (the sticky bit).
    """
    return Right(gid, 0o3770 if everybody else 0o2770, acl.pack(7, 7, 0), ids=frozenset({gid}))


def to_read(gid: int, keepers: int) -> Right:
    """Return how a folder is that the keepers fill, and a group reads; both are ids of groups."""
    listed = acl.pack(7, 7, 0, groups=[gid], named=5)
    return Right(keepers, 0o2770, listed, listed, frozenset({gid, keepers}))


def to_drop(gid: int, keepers: int) -> Right:
    """Return how a folder is that only holds those of `dropped`; a group may look into it."""
    listed = acl.pack(7, 5, 0, groups=[gid], named=5)
    return Right(keepers, 0o2750, listed, listed, frozenset({gid, keepers}))


def dropped(uid: int, keepers: int) -> Right:
    """Return how the folder is that one person hands his work in by: for him and the keepers alone."""
    listed = acl.pack(7, 7, 0, users=[uid], named=7)
    return Right(keepers, 0o2770, listed, listed, frozenset({uid, keepers}))


def look(folder: Path, within: Path | None = None) -> Found:
    """Return what is there.

    Args:
        within: the shared folder that it lies in, which is closed to others and needs no look.

    Raises:
        MachineError: a link, a file, a folder that is not root's, or one on whose way others could replace something.
    """
    if weakness := weak_component((within or folder).parent):
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
        lists = [_list(descriptor, name) for name in (acl.ACCESS, acl.DEFAULT)]
        known = [one or None for one in lists]
        return Found(True, found.st_gid, stat.S_IMODE(found.st_mode), known[0], known[1], lists[1] is not None)
    finally:
        os.close(descriptor)


def ensure(folder: Path, right: Right, within: Path | None = None) -> None:
    """Make the folder, or put group, mode and ACLs of the one that is there right; nothing in it is touched.

    Raises:
        MachineError: as `look`, or the disk does not take it; its file system keeps no ACLs, and it needs one.
    """
    try:
        if not look(folder, within).exists:
            for parent in reversed(folder.parents):
                if not parent.exists():
                    parent.mkdir(mode=0o755)
                    parent.chmod(0o755)
            folder.mkdir(mode=0o700)
        descriptor = _open(folder)
        try:
            if os.fstat(descriptor).st_uid != 0:
                raise MachineError("belongs to somebody else.", where=str(folder))
            os.fchown(descriptor, 0, right.gid)
            _set_lists(descriptor, right, folder)
            os.fchmod(descriptor, right.mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MachineError(f"cannot be shared: {error.strerror}.", where=str(folder)) from error


def _set_lists(descriptor: int, right: Right, folder: Path) -> None:
    try:
        os.setxattr(descriptor, acl.DEFAULT, right.default)
        if right.access is not None:
            os.setxattr(descriptor, acl.ACCESS, right.access)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        if right.access is not None:
            what = "its file system keeps no ACLs, without which only a folder to write can be shared."
            raise MachineError(what, where=str(folder), remedy="Put it on ext4 or xfs.") from error


def _open(folder: Path) -> int:
    try:
        return os.open(folder, opening.FOLDER)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "is a link or no folder." if error.errno in {errno.ELOOP, errno.ENOTDIR} else f"{error.strerror}."
        raise MachineError(what, where=str(folder), remedy="Move it away, or name another folder.") from error


def _list(descriptor: int, name: str) -> bytes | None:
    """Return an ACL, empty for none; None where the file system keeps none."""
    try:
        return os.getxattr(descriptor, name)
    except OSError as error:
        return b"" if error.errno == errno.ENODATA else None
