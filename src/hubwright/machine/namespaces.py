"""A process's own view of the machine: namespaces(7), for one that has a single thread.

Standard library only, for Python 3.9 too: zygotes run it in an environment's own interpreter.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from pathlib import Path

MOUNTS, NETWORK = 0x00020000, 0x40000000
_NS_GET_USERNS = 0xB701
"""Of ioctl_ns(2): a descriptor of the user namespace that a namespace belongs to."""
_MOUNT_SETATTR = 442  # the system call's number, the same on every kind of machine
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_AT_RECURSIVE, _READ_ONLY = 0x8000, 0x1


class _Attributes(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd"))


def leave_network_and_mounts() -> None:
    """Have from here on no network at all, and mounts of one's own that nobody else sees."""
    library = ctypes.CDLL(None, use_errno=True)
    _check(library.unshare(MOUNTS | NETWORK), "unshare")
    _check(library.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None), "mount")


def make_read_only(path: bytes = b"/", *, below: bool = True) -> None:
    """Let nothing be written from a mount on, and on those below it; since Linux 5.12."""
    _set(path, _Attributes(attr_set=_READ_ONLY), below)


def make_writable(path: bytes) -> None:
    """Take back `make_read_only` of one mount."""
    _set(path, _Attributes(attr_clr=_READ_ONLY), below=False)


def enter(descriptor: int, kind: int) -> None:
    """Enter a namespace that /proc/<pid>/ns/... was opened as."""
    _check(ctypes.CDLL(None, use_errno=True).setns(descriptor, kind), "setns")


def is_ours(descriptor: int) -> bool:
    """Whether an open namespace belongs to the user namespace of this process, and not to one that a user has made.

    Whoever makes a user namespace says what is mounted in the others that belong to it (user_namespaces(7)).
    """
    owner = fcntl.ioctl(descriptor, _NS_GET_USERNS)
    try:
        return os.path.samestat(os.fstat(owner), Path("/proc/self/ns/user").stat())
    finally:
        os.close(owner)


def _set(path: bytes, attributes: _Attributes, below: bool) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    flags, size = ctypes.c_ulong(_AT_RECURSIVE if below else 0), ctypes.c_size_t(ctypes.sizeof(attributes))
    number, nowhere = ctypes.c_long(_MOUNT_SETATTR), ctypes.c_long(-1)
    _check(library.syscall(number, nowhere, path, flags, ctypes.byref(attributes), size), "mount_setattr")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
