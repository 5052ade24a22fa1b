"""Small file systems in memory, so that who may write a folder cannot fill the one around it. mount(2), umount(2)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NOSUID, _NODEV = 2, 4
_DETACH, _NOFOLLOW = 2, 8


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
