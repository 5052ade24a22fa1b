"""Whether Docker can hold what a container writes outside the home to a size, which its storage decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubwright.engines.docker import daemon

_ALWAYS = frozenset({"btrfs", "zfs"})
"""Storage drivers that limit a container's disk by themselves (docs.docker.com/engine/storage/drivers)."""
_PROJECT_QUOTAS = frozenset({"prjquota", "pquota"})


def missing(socket: str) -> str:
    """Return why a container's disk cannot be limited here, in words; "" when it can. Asks Docker."""
    return reason(daemon.ask(socket, "info"), Path("/proc/self/mountinfo").read_text())


def reason(info: dict[str, Any], mounts: str) -> str:
    """Return the same from what Docker says of itself, and the text of /proc/self/mountinfo (proc(5))."""
    driver = str(info.get("Driver", ""))
    if driver in _ALWAYS:
        return ""
    backing = dict(map(tuple, info.get("DriverStatus") or ())).get("Backing Filesystem", "unknown")
    if driver != "overlay2" or backing != "xfs":
        return (
            f"Docker's storage here ({driver} on {backing}) cannot limit the disk of a container; overlay2 on XFS with "
            "project quotas, btrfs and zfs can"
        )
    root = str(info.get("DockerRootDir", "/var/lib/docker"))
    if not _PROJECT_QUOTAS & set(_options(root, mounts)):
        return f"the XFS file system of {root} is mounted without project quotas (pquota)"
    return ""


def _options(folder: str, mounts: str) -> list[str]:
    """Return the options of the file system that a folder is on."""
    best, found = "", []
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        place = left.split()[4]
        if len(place) >= len(best) and Path(folder).is_relative_to(place):
            best, found = place, right.split()[-1].split(",")
    return found
