"""What this machine has: processors, memory, GPUs. Standard library only."""

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


def gpus(root: Path = Path("/")) -> tuple[str, ...]:
    """Return the GPUs, as container engines name them: Nvidia's ids `GPU-...`, else AMD's nodes `/dev/dri/renderD128`.

    An id that Nvidia's driver does not tell is a number: the place among all, by PCI address.
    """
    told = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    if found := [_nvidia(path, number) for number, path in enumerate(told)]:
        return tuple(one for one in found if one)
    if many := sum(1 for _ in (root / "dev").glob("nvidia[0-9]*")):
        return tuple(map(str, range(many)))
    if not (root / "dev/kfd").exists():
        return ()
    return tuple(f"/dev/dri/{path.name}" for path in sorted((root / "dev/dri").glob("renderD*")))


def busy() -> float:
    """Return how many processors are at work: the load of the last minute."""
    return os.getloadavg()[0]


def _nvidia(path: Path, number: int) -> str:
    """Return the id in a GPU's `information`: its number while the driver does not know it, "" when it is left out."""
    told = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    if told.get("GPU Excluded", "").strip() == "Yes":
        return ""
    known = told.get("GPU UUID", "?").strip()
    return str(number) if "?" in known else known


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    return 0
