"""A process is known by its pid and its start time together, never by the pid alone: pids are used again."""

from __future__ import annotations

import os
import select
import signal as signals
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process, for good: after it ends no other process is taken for it."""

    pid: int
    started: int
    """Clock ticks from boot to its start, field 22 of /proc/<pid>/stat (proc(5))."""

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process that has `pid` now, or None; one that is dead and not yet waited for is None too."""
        state, started = _stat(pid)
        return None if state in "ZX" else cls(pid, started)

    @classmethod
    def me(cls) -> Process:
        """Return this process."""
        return cls(os.getpid(), _stat(os.getpid())[1])

    def alive(self) -> bool:
        """Whether it still runs."""
        return Process.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal to exactly this process; False when it has ended."""
        with self.descriptor() as pidfd:
            if pidfd is None:
                return False
            try:
                signals.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                return False
            return True

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for its end, child of this process or not; whether it has ended."""
        with self.descriptor() as pidfd:
            if pidfd is None:
                return True
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            return bool(poll.poll(max(0, timeout) * 1000))

    def stop(self, grace: float) -> bool:
        """End it by SIGTERM and, `grace` seconds later, by SIGKILL; whether it has ended then."""
        self.signal(signals.SIGTERM)
        if self.wait(grace):
            return True
        self.signal(signals.SIGKILL)
        return self.wait(5)

    @contextmanager
    def descriptor(self) -> Iterator[int | None]:
        """Hold a pidfd of exactly this process (pidfd_open(2)); None when it has ended."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            # The pidfd holds whatever had the pid when it was opened: compare only after that.
            yield pidfd if self.alive() else None
        finally:
            os.close(pidfd)

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / os.sysconf("SC_CLK_TCK")

    @property
    def spent(self) -> float:
        """Seconds of processor time that it and its ended children have taken; 0 when it has ended itself."""
        fields = _fields(self.pid)
        same = fields and int(fields[19]) == self.started
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if same else 0.0


def _stat(pid: int) -> tuple[str, int]:
    """State letter and start time; "X" when there is no such process."""
    fields = _fields(pid)
    return (fields[0], int(fields[19])) if fields else ("X", 0)


def _fields(pid: int) -> list[str]:
    """What /proc/<pid>/stat says from the third field on (proc(5)); empty when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()  # the name before may hold spaces and brackets
