"""The kernel's session keyring: the keys that a process holds, and that its children are given."""

import ctypes
import os
import platform

_KEYCTL = {"x86_64": 250, "aarch64": 219}  # the system call's number, by machine
_JOIN_SESSION_KEYRING = 1


def join_new() -> bool:
    """Leave the session's keyring for a new, empty one without a name; children inherit that one.

    Whoever starts the service may hold keys there (of disks, of file systems, of Kerberos) that no notebook may use.
    Call it while the process has one thread: keyrings belong to threads. Returns whether it happened; a kernel
    without keyrings, or one that forbids the call, is no error.
    """
    number = _KEYCTL.get(platform.machine())
    if number is None or os.uname().sysname != "Linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    joined: int = syscall(ctypes.c_long(number), ctypes.c_long(_JOIN_SESSION_KEYRING), ctypes.c_void_p(None))
    return joined > 0
