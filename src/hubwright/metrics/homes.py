"""Counts the disk of homes: rarely, one at a time, for people whose servers run."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.errors import HubwrightError
from hubwright.fields import Site
from hubwright.machine import wire
from hubwright.metrics.store import Home, Store
from hubwright.metrics.totals import disk_of

_TAKES = 640.0
"""Seconds to wait for the account helper, which ends a count after ten minutes."""
_OWN_TAKES = 600
_LOOK = 5.0
_DISK_EVERY = 60.0
_SHARE = 50
"""A count that took a second is not repeated for so many seconds, however often one is asked for."""
_FAILED = 6 * 3600.0
"""Seconds until a home that could not be counted is tried again."""


@dataclass
class Homes:
    """What homes take, as far as counted; `found` and `disk` are read by others while `run` fills them."""

    site: Site
    every: float
    users: Callable[[], Iterable[str]]
    """Whose servers run now."""
    open_store: Callable[[], Store]
    found: dict[str, Home] = field(default_factory=dict)
    disk: tuple[int, int] = (0, 0)
    """Bytes used and there are in the file system of the homes."""
    _due: dict[str, float] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Count until told to stop; the body of a thread of its own, which may hang on a file system that does."""
        place = Path("/home") if self.site.privileged and Path("/home").is_dir() else Path.home()
        looked = -1e9
        while not stop.wait(_LOOK):
            if time.monotonic() - looked >= _DISK_EVERY:
                self.disk, looked = disk_of(place), time.monotonic()
            if user := self.next(time.monotonic(), time.time()):
                self.count(user)

    def next(self, monotonic: float, wall: float) -> str | None:
        """Return whose home is to be counted now; the one that waits longest."""
        running = sorted(set(self.users()))
        for user in running:
            if user not in self._due:  # after a restart, what was counted lately is not counted again
                age = wall - self.found[user].at if user in self.found else self.every
                self._due[user] = monotonic + min(self.every, max(0.0, self.every - age))
        due = [(self._due[user], user) for user in running if self._due[user] <= monotonic]
        return min(due)[1] if due else None

    def count(self, user: str) -> None:
        """Count one home, and keep what came of it."""
        began = time.monotonic()
        try:
            answer = self._ask(user)
        except (HubwrightError, OSError, ValueError, subprocess.SubprocessError):
            answer = {"ok": False}
        took = time.monotonic() - began
        if not answer.get("ok"):
            self._due[user] = began + max(self.every, _FAILED)
            return
        self._due[user] = began + max(self.every, took * _SHARE)
        home = Home(time.time(), int(answer["bytes"]), answer["limit"], bool(answer["whole"]))
        self.found[user] = home
        try:
            store = self.open_store()
            try:
                store.set_home(user, home)
            finally:
                store.close()
        except (sqlite3.Error, OSError):
            pass  # the sampler tells of a disk that is full

    def _ask(self, user: str) -> dict[str, Any]:
        if self.site.privileged:
            return wire.call(self.site.account_socket, {"op": "disk", "user": user}, timeout=_TAKES)
        command = [sys.executable, "-I", "-m", "hubwright.machine.disk", str(Path.home()), str(_OWN_TAKES)]
        done = subprocess.run(command, capture_output=True, timeout=_TAKES, check=True, stdin=subprocess.DEVNULL)
        return {"ok": True, **json.loads(done.stdout)}
