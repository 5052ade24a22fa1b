"""Free places between what was imported: taken before the fork, so that what a child makes lies together.

A child's first objects would go where something was freed, one here and one there, and for each of them a page that all
processes share is copied. What takes the places is never read, so it costs nobody a page but this process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

_FILLERS: list[Any] = []
"""Objects that stay where they are as long as this process and its children."""
_SMALL = 512
"""Bytes up to which Python divides pages itself; larger objects are the C library's."""
_STEP = 16
_LARGEST = 64 * 1024
"""Bytes from which a place is no hole; from twice of that the C library asks Linux for pages of their own."""


def fill() -> int:
    """Take every free place that is smaller than a few pages; return the bytes taken.

    What is not CPython's own allocator, or not glibc's, is left as it is.
    """
    return _fill_small() + _fill_large()


def _fill_small() -> int:
    taken = 0
    for size, count in _free_blocks().items():
        make = _maker(size)
        _FILLERS.append([make(number) for number in range(count)])
        taken += size * count
    return taken


def _maker(size: int) -> Callable[[int], object]:
    """Return what makes an object of `size` bytes that the garbage collector does not know."""
    if size == _STEP:
        return lambda _number: object()
    if size == 2 * _STEP:
        return lambda number: 2**29 + number
    return lambda _number: bytes(size - 33)  # a bytes object has 33 more than it holds


def _free_blocks() -> dict[int, int]:
    """Return how many places of each size are free beside used ones, as CPython tells on the standard error output."""
    saved, told = os.dup(2), os.memfd_create("malloc")
    try:
        sys.stderr.flush()
        os.dup2(told, 2)
        sys._debugmallocstats()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    with open(told, encoding="ascii", errors="replace") as text:
        text.seek(0)
        rows = [line.split() for line in text]
    table = (tuple(map(int, row)) for row in rows if len(row) == 5 and all(word.isdecimal() for word in row))
    return {size: free for _, size, _, _, free in table if free and size <= _SMALL and size % _STEP == 0}


_MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
    *("uordblks", "fordblks", "keepcost"),  # bytes in use, bytes free, and the part of them that was never divided
)


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of mallinfo(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO)


def _fill_large() -> int:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0
    look: Callable[[], Any] = library.mallinfo2
    library.mallinfo2.restype = _Mallinfo
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
    library.sbrk.argtypes, library.sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    before = look()
    top = library.sbrk(0) - before.keepcost  # where the part begins that was never divided
    taken, size = 0, _LARGEST
    while size > _SMALL and taken < before.fordblks:
        place = library.malloc(size)
        if place is not None and place < top:
            taken += size
        else:  # no hole was large enough
            library.free(place)
            size = size * 3 // 4
    return taken
