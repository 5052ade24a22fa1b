"""Signals as something to wait for: a count of requests to stop, and a descriptor that wakes a poll."""

from __future__ import annotations

import ctypes
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Requests:
    """How often this process was asked to stop."""

    def __init__(self) -> None:
        self.stops = 0
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    @property
    def wakeup(self) -> int:
        """Can be read after a signal."""
        return self._reader.fileno()

    def hurry(self) -> bool:
        """Whether somebody asked a second time."""
        return self.stops > 1

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    def _note(self, number: int, frame: FrameType | None) -> None:
        pass  # a child ended; the wakeup is what matters

    @classmethod
    @contextmanager
    def listen(cls) -> Iterator[Requests]:
        """Count SIGINT, SIGTERM and SIGHUP instead of ending by them; main thread only."""
        requests = cls()
        before = {number: signal.getsignal(number) for number in (*_STOPPING, signal.SIGCHLD)}
        for number in _STOPPING:
            signal.signal(number, requests._count)
        signal.signal(signal.SIGCHLD, requests._note)
        woken = signal.set_wakeup_fd(requests._writer.fileno(), warn_on_full_buffer=False)
        try:
            yield requests
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            requests._reader.close()
            requests._writer.close()


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
