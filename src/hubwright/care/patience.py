"""How long a start may take: as long as its parts are at work, on however slow a machine."""

from __future__ import annotations

import time
from collections.abc import Callable

_IDLE = 90.0
_LONGEST = 1800.0
_WORK = 1.0


class Patience:
    """Ends `idle` seconds after the parts last took `_WORK` seconds of processor time, and `longest` after its making.

    A part that waits for something that does not come takes next to none; one that starts slowly takes all it gets.
    """

    def __init__(
        self, idle: float = _IDLE, longest: float = _LONGEST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._idle = idle
        self._began = self._worked = clock()
        self._longest = longest
        self._spent = 0.0

    @property
    def waited(self) -> float:
        """Seconds since its making."""
        return self._clock() - self._began

    def over(self, spent: float) -> bool:
        """Whether to wait no longer, now that the parts have taken `spent` seconds of processor time in all."""
        now = self._clock()
        if abs(spent - self._spent) >= _WORK:  # less than before is another process: that is work, too
            self._spent, self._worked = spent, now
        return now - self._worked >= self._idle or now - self._began >= self._longest
