"""What this machine has: processors and memory. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def processors() -> float:
    """Return how many processors programs of this machine may use."""
    return float(len(os.sched_getaffinity(0)))


def memory() -> int:
    """Return the bytes of memory, or what a container that this machine really is may take of them."""
    found = _meminfo("MemTotal")
    for path in _ROOT_LIMITS:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found = min(found, int(text))
    return found


def available() -> int:
    """Return the bytes of memory that programs could take now without anything being pushed out."""
    return min(_meminfo("MemAvailable"), memory())


def busy() -> float:
    """Return how many processors are at work: the load of the last minute."""
    return os.getloadavg()[0]


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    return 0
