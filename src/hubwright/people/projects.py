"""Projects of a file system (ext4, xfs): a number on each file of a folder, which what is made there inherits.

By it the file system counts a folder as a whole, whoever its files belong to. Set with ioctl_xfs_fsgetxattr(2), which
ext4 has too; chattr(1) would open each file by its path, where others could put a link meanwhile. An owner may change
the number of his own files (`chattr -p`), so a folder's quota is none against who means to evade it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Set
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine import opening
from hubwright.people import quota

_GET, _SET = 0x801C581F, 0x401C5820
"""FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR of linux/fs.h."""
_ATTRIBUTES = struct.Struct("=5I8x")
"""struct fsxattr: flags, extent size, number of extents, project, extent size for copies."""
_INHERIT = 0x200
"""FS_XFLAG_PROJINHERIT, of folders: what is made in one is of its project, too."""
NUMBERS = range(730_000, 740_000)
"""Those that we give: Docker, which gives them too, counts up from 1."""


def project_of(folder: Path) -> int:
    """Return the project that a folder hands on to what is made in it; 0 for none, also where there is no folder."""
    try:
        descriptor = os.open(folder, opening.FOLDER)
    except OSError:
        return 0
    try:
        flags, _, _, project, _ = _ATTRIBUTES.unpack(fcntl.ioctl(descriptor, _GET, bytes(_ATTRIBUTES.size)))
    except OSError:  # a file system that knows no projects
        return 0
    finally:
        os.close(descriptor)
    return project if flags & _INHERIT else 0


def own_project(folder: Path) -> int:
    """Return the project of a folder, 0 where it has none but that of the folder around it."""
    project = project_of(folder)
    return 0 if project == project_of(folder.parent) else project


def free(taken: Set[int], mount: quota.Mount) -> int:
    """Return a number that no file of a file system has.

    Raises:
        MachineError: there is none.
    """
    used = quota.limits_of_projects(mount)
    for number in NUMBERS:
        if number not in taken and number not in used:
            return number
    raise MachineError(f"Every number of a project from {NUMBERS[0]} to {NUMBERS[-1]} is given.")


def mark(folder: Path, project: int) -> None:
    """Make a folder of root's, and all that is in it, one of a project: from the top, so that nothing new is missed.

    Links, sockets and the like have no content, and keep theirs. What is mounted in it is left alone.

    Raises:
        MachineError: it cannot be, such as on a file system without projects.
    """
    try:
        descriptor = os.open(folder, opening.FOLDER)
        try:
            device = os.fstat(descriptor).st_dev
            for _, folders, names, place in os.fwalk(".", dir_fd=descriptor, onerror=_report):
                if os.fstat(place).st_dev != device:
                    folders.clear()
                    continue
                _put(place, project, _INHERIT)
                for name in names:
                    _put_file(place, name, project)
        finally:
            os.close(descriptor)
    except (OSError, RecursionError) as error:
        raise MachineError(f"cannot be counted as a whole: {error}.", where=str(folder)) from error


def _put_file(place: int, name: str, project: int) -> None:
    """Mark one file, if it is still there and still one."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
            return
        try:
            file = os.open(name, opening.FILE, dir_fd=place)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link by now
                return
            raise
        try:
            if stat.S_ISREG(os.fstat(file).st_mode):
                _put(file, project, 0)
        finally:
            os.close(file)


def _put(descriptor: int, project: int, more: int) -> None:
    flags, size, extents, before, copied = _ATTRIBUTES.unpack(fcntl.ioctl(descriptor, _GET, bytes(_ATTRIBUTES.size)))
    if (flags | more, project) != (flags, before):
        fcntl.ioctl(descriptor, _SET, _ATTRIBUTES.pack(flags | more, size, extents, project, copied))


def _report(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
