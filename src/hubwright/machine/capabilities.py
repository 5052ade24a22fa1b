"""What a process that is not root may do of root's work: capabilities(7), of this thread, which should be the only one.

Standard library only, for Python 3.9 too: zygotes run it in an environment's own interpreter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

SETGID, SETUID, SYS_CHROOT, SYS_ADMIN = 6, 7, 18, 21
_VERSION = 0x20080522
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT = 8, 47
_RAISE, _CLEAR_ALL = 2, 4


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    """The lower 32 capabilities of each set, and after them the upper ones."""

    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def have(permitted: Iterable[int], *, effective: bool, kept: bool = False) -> None:
    """Have exactly these capabilities; `OSError` when more are wanted than there are.

    Args:
        permitted: what this process may make use of.
        effective: whether it does from now on.
        kept: whether a program that is executed has them, too.
    """
    wanted = set(permitted)
    bits = sum(1 << one for one in wanted)
    sets = (_Sets * 2)()
    for number in (0, 1):
        half = bits >> 32 * number & 0xFFFFFFFF
        sets[number] = _Sets(half if effective else 0, half, half if kept else 0)
    library = ctypes.CDLL(None, use_errno=True)
    _check(library.capset(ctypes.byref(_Header(_VERSION, 0)), ctypes.byref(sets)))
    _prctl(library, _PR_CAP_AMBIENT, _CLEAR_ALL)
    for one in sorted(wanted) if kept else ():
        _prctl(library, _PR_CAP_AMBIENT, _RAISE, one)


def keep_over_change_of_identity() -> None:
    """Let a process that becomes another user than root keep what it is permitted; until it executes a program."""
    _prctl(ctypes.CDLL(None, use_errno=True), _PR_SET_KEEPCAPS, 1)


def _prctl(library: ctypes.CDLL, option: int, *words: int) -> None:
    _check(library.prctl(option, *(ctypes.c_ulong(one) for one in (*words, 0, 0, 0, 0)[:4])))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"capabilities cannot be changed (error {number})")
