"""What an engine tells about the servers that run: whose they are, and where the kernel counts what each takes.

An engine's package may name a module in `USAGE`, with a function `source(site, names)` that returns a `Source`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hubwright.fields import Site

Names = MutableMapping[str, tuple[str, str]]
"""Key of a server to its user and its name, as far as known; kept from one run to the next."""


@dataclass(frozen=True)
class Running:
    """One server that runs now."""

    user: str
    server: str
    birth: str
    """Another one for every life of the same server."""
    version: int = 2
    """Of the control groups."""
    folders: Mapping[str, Path] = field(default_factory=dict)
    """Controller (`cpu` or `cpuacct`, `memory`, `pids`) to its group's folder; without any, processes are counted."""
    pid: int = 0
    """Its first process; where there are no groups."""


class Source(Protocol):
    """Where servers are looked up; used by one thread."""

    def running(self, lost: Collection[str]) -> Mapping[str, Running]:
        """Return every server that runs, by key; the same object as before when nothing has changed.

        Called every few seconds, so it asks nobody about what it knows. It must not wait for more than a second or two.

        Args:
            lost: keys whose counters could not be read any more.

        Raises:
            NotRunning: nobody can say now; what was said before still holds.
        """


class SourceMaker(Protocol):
    """The function `source` of a module that `USAGE` names."""

    def __call__(self, site: Site, names: Names) -> Source:
        """Return the source of a service; `names` may be read and added to."""
