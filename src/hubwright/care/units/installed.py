"""Which service is installed on this machine, told by its main unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubwright.machine.systemd import UNITS

MAIN = "hubwright.service"
KEEPER = "hubwright-keeper.service"
MARK = "X-Hubwright"
"""A section of that unit, which systemd leaves to us (systemd.unit(5))."""


@dataclass(frozen=True)
class Installed:
    """What the units on this machine are for."""

    state: Path
    config: Path
    port: int


def installed() -> Installed | None:
    """Return what is installed; None when nothing is."""
    try:
        _, _, told = (UNITS / MAIN).read_text().partition(f"[{MARK}]\n")
        marks = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        return Installed(Path(marks["State"]), Path(marks["Config"]), int(marks["Port"]))
    except (OSError, KeyError, ValueError):
        return None


def unit_of(part: str) -> str:
    """Return the unit of a part."""
    return f"hubwright-{part}.service"
