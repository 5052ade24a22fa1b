"""Counting failed attempts, so that guessing is slow. Standard library only: root's programs import it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable


class Attempts:
    """At most `limit` failures for one key in `window` seconds; then the key waits until the oldest is forgotten."""

    def __init__(self, limit: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.window = window
        self._clock = clock
        self._failures: dict[Hashable, deque[float]] = {}
        self._swept = clock()

    def wait(self, key: Hashable) -> int:
        """Return whole seconds until `key` may try again; 0 when it may now."""
        failures = self._recent(key)
        if len(failures) < self.limit:
            return 0
        return max(1, math.ceil(failures[-self.limit] + self.window - self._clock()))

    def add(self, key: Hashable) -> None:
        """Count one failure, or an attempt that is taken back by `forgive` when it succeeds."""
        self._sweep()
        self._failures.setdefault(key, deque(maxlen=self.limit)).append(self._clock())

    def forgive(self, key: Hashable) -> None:
        """Take back the newest one."""
        if failures := self._failures.get(key):
            failures.pop()

    def clear(self, key: Hashable) -> None:
        """Forget all of a key."""
        self._failures.pop(key, None)

    def _recent(self, key: Hashable) -> deque[float]:
        failures = self._failures.get(key, deque())
        oldest = self._clock() - self.window
        while failures and failures[0] <= oldest:
            failures.popleft()
        return failures

    def _sweep(self) -> None:
        """Drop keys without recent failures once a window, so that made-up names do not fill the memory."""
        if self._clock() - self._swept < self.window:
            return
        self._swept = self._clock()
        for key in list(self._failures):
            if not self._recent(key):
                del self._failures[key]
