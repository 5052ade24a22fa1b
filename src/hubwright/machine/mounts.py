"""What is mounted for one server alone: a small file system in memory, and nothing where a device was.

mount(2), umount(2), unshare(2), mount_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_REMOUNT, _BIND, _REC, _SLAVE = 32, 4096, 16384, 1 << 19
_DETACH, _NOFOLLOW = 2, 8
_NEWNS = 0x20000


def mount_memory(folder: Path, *, size: int, inodes: int, uid: int, gid: int) -> str:
    """Cover `folder` with a tmpfs that only `uid` may enter; return "", or why it could not be done (tmpfs(5)).

    Args:
        folder: is there, and nobody but root can replace it.
        size: bytes that it may hold.
        inodes: files and folders that it may hold.
        uid: whose it is.
        gid: and of which group.
    """
    options = f"size={size},nr_inodes={inodes},mode=0700,uid={uid},gid={gid}".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hubwright", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(_NOSUID | _NODEV), options) == 0:
        return ""
    return os.strerror(ctypes.get_errno())


def unmount(folder: Path) -> None:
    """Take away what covers `folder`, if anything does, also while somebody uses it; follows no link."""
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.umount2(os.fsencode(folder), _DETACH | _NOFOLLOW) == 0:
        pass


def part() -> int:
    """Give this process, which has one thread, mounts of its own; return a descriptor by which others enter them.

    What the machine mounts or unmounts later happens here, too; what is mounted here, nowhere else.

    Raises:
        OSError: it may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _succeed(libc.unshare(_NEWNS))
    _succeed(libc.mount(None, b"/", None, ctypes.c_ulong(_REC | _SLAVE), None))
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def forbid_device(node: Path) -> None:
    """Let nobody open a device by this name, whatever its permissions say; it looks as before.

    In a namespace that a user makes of this one (user_namespaces(7)) it stays so, since the kernel locks such mounts.

    Raises:
        OSError: it is missing, or cannot be covered.
    """
    libc, path = ctypes.CDLL(None, use_errno=True), os.fsencode(node)
    _succeed(libc.mount(path, path, None, ctypes.c_ulong(_BIND), None))
    flags = _REMOUNT | _BIND | _NODEV | _NOSUID | _NOEXEC
    _succeed(libc.mount(None, path, None, ctypes.c_ulong(flags), None))


def may_part() -> str:
    """Return "" when this process could `part`, else why not; tried by a child."""
    if (child := os.fork()) == 0:
        try:
            part()
        except OSError as error:
            os._exit(error.errno or 255)
        finally:
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return os.strerror(code) if code else ""


def _succeed(result: int) -> None:
    if result:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))
