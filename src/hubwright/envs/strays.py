"""What a package has left running under the account without rights: it must not see the next build.

All builds work under that one account, so a program that outlives its own could change what another makes, such as the
bytecode of an environment that is for others.
"""

from __future__ import annotations

import os
import pwd
import signal
import threading
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hubwright.envs import trying

_ROUNDS = 20
"""How often is looked: each finds what was started in the last."""


@dataclass
class Builds:
    """The builds of this process that are under way; a few may be, each in a thread."""

    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Have a build begin, and end, without what an earlier one or itself has left running; for root."""
        with self.lock:
            end(idle=not self.count)
            self.count += 1
        try:
            yield
        finally:
            with self.lock:
                self.count -= 1
                end(idle=not self.count)


BUILDS = Builds()


def end(idle: bool) -> None:
    """End what runs under the account and belongs to no build any more; `idle`: this process has none under way."""
    try:
        account = pwd.getpwnam(trying.ACCOUNT).pw_uid
    except KeyError:
        return
    me = os.getpid()
    heirs = {0, 1} | {me} if idle else {0, 1} - {me}
    for _ in range(_ROUNDS):
        if not (found := strays(_processes(), account, heirs)):
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def strays(processes: Mapping[int, tuple[int, int]], account: int, heirs: Container[int]) -> list[int]:
    """Return the processes of an account that nobody waits for; `processes` has parent and user id of each; pure.

    What belongs to a build that is under way has whoever asked for it, root's, among its parents. The others' parents
    have ended, so that they are children of one of `heirs`, or of a user's session.
    """
    found = []
    for pid, (parent, uid) in processes.items():
        while uid == account and processes.get(parent, (0, 0))[1] == account:
            parent = processes[parent][0]
        if uid == account and (parent in heirs or processes.get(parent, (0, -1))[1] != 0):
            found.append(pid)
    return found


def _processes() -> dict[int, tuple[int, int]]:
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
            if not lines["State"].startswith(("Z", "X")):
                found[int(place.name)] = int(lines["PPid"]), int(lines["Uid"].split()[0])
    return found
