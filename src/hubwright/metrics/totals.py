"""What the whole machine takes: processors, memory, load, disk (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Totals:
    """The machine at one moment."""

    cpus: int
    busy: float
    """Processor seconds spent by anybody since boot, all processors together."""
    memory: int
    """Bytes that cannot be had: total less available."""
    memory_total: int
    load: tuple[float, float, float]


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    name: str
    busy: float
    """0 to 1."""
    memory: int
    memory_total: int


_TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """Reads /proc through descriptors that stay open."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._stat = os.open(proc / "stat", os.O_RDONLY | os.O_CLOEXEC)
        self._memory = os.open(proc / "meminfo", os.O_RDONLY | os.O_CLOEXEC)
        self._load = os.open(proc / "loadavg", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> Totals:
        """Return the totals now."""
        memory = parse_meminfo(os.pread(self._memory, 1024, 0))
        first, second, third = os.pread(self._load, 128, 0).split()[:3]
        return Totals(
            os.cpu_count() or 1,
            parse_busy(os.pread(self._stat, 512, 0)),
            max(0, memory[0] - memory[1]),
            memory[0],
            (float(first), float(second), float(third)),
        )

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in (self._stat, self._memory, self._load):
            os.close(descriptor)


def parse_busy(text: bytes) -> float:
    """Return the seconds that were neither idle, nor waiting for a disk, nor stolen by the host, from /proc/stat.

    Guests' time is counted in user time already.
    """
    words = [int(word) for word in text.split(b"\n", 1)[0].split()[1:9]]
    return (sum(words[:3]) + sum(words[5:7])) / _TICKS


def parse_meminfo(text: bytes) -> tuple[int, int]:
    """Return bytes there are and bytes available, from /proc/meminfo; of a kernel without the second: those free."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        found[name] = rest
    total = int(found[b"MemTotal"].split()[0]) * 1024
    return total, int(found.get(b"MemAvailable", found[b"MemFree"]).split()[0]) * 1024


def disk_of(place: Path) -> tuple[int, int]:
    """Return bytes used and bytes there are in the file system of `place`, as df(1) counts; zeros without it."""
    try:
        found = os.statvfs(place)
    except OSError:
        return 0, 0
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    return used, used + found.f_bavail * found.f_frsize
