"""Reads what one server takes: from its control groups, through descriptors that stay open, or from its processes."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hubwright.machine.usage import Running

_UNLIMITED = 2**60
"""Bytes from which a limit of control groups version 1 is none (it writes "no limit" as 2**63 less a page)."""
_STAT_EVERY = 3
"""Readings between two looks at `memory.stat`, the one long file, as long as the group's memory stays what it was."""
_SPARE = 256
"""Descriptors left for everything else."""


class Gone(Exception):
    """The server's counters are not there any more."""


@dataclass(frozen=True)
class Reading:
    """What a server has taken and takes."""

    cpu: float | None
    """Seconds of processor time since it was born; None where that is not counted."""
    memory: int
    """Working set in bytes: what is held, without file pages that the kernel would drop first."""
    processes: int | None


@dataclass(frozen=True)
class Limits:
    """What the machine enforces; None is no limit."""

    cpu: float | None = None
    memory: int | None = None
    processes: int | None = None


class Reader(Protocol):
    """One server's counters."""

    def read(self) -> Reading:
        """Return them now; `Gone` when the server has ended."""

    def limits(self) -> Limits:
        """Return its limits now."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass
class Descriptors:
    """How many descriptors may stay open; beyond that files are opened for each reading."""

    left: int = 0

    @classmethod
    def raise_limit(cls) -> Descriptors:
        """Allow this process as many as it may have."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return cls(max(0, hard - _SPARE))


class _File:
    """A file of a control group, read again and again."""

    __slots__ = ("_budget", "_descriptor", "_path")

    def __init__(self, path: str, budget: Descriptors) -> None:
        self._path = path
        self._budget = budget
        self._descriptor = -1
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if budget.left > 0:
            budget.left -= 1
            self._descriptor = descriptor
        else:
            os.close(descriptor)

    def read(self, size: int) -> bytes:
        if self._descriptor >= 0:
            return os.pread(self._descriptor, size, 0)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size, 0)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._budget.left += 1


class GroupReader:
    """A server's control groups, version 1 or 2; `Gone` when they cannot be opened (yet)."""

    __slots__ = ("_cpu", "_dropped", "_folders", "_held", "_memory", "_new", "_pids", "_stat", "_turn")

    def __init__(self, running: Running, budget: Descriptors, turn: int = 0) -> None:
        self._new = running.version == 2
        self._folders = running.folders
        self._turn = turn  # so that not every server's long file is read at the same time
        self._held = -1
        self._dropped = 0
        self._cpu = self._memory = self._stat = self._pids = None
        new = self._new
        try:
            self._cpu = self._open("cpu" if new else "cpuacct", "cpu.stat" if new else "cpuacct.usage", budget)
            self._memory = self._open("memory", "memory.current" if new else "memory.usage_in_bytes", budget)
            self._stat = self._open("memory", "memory.stat", budget)
            self._pids = self._open("pids", "pids.current", budget)
        except OSError as error:
            self.close()
            raise Gone(str(error)) from error

    def _open(self, controller: str, name: str, budget: Descriptors) -> _File | None:
        folder = self._folders.get(controller)
        return _File(f"{folder}/{name}", budget) if folder else None

    def read(self) -> Reading:
        """Return what it takes now."""
        try:
            spent = self._spent(self._cpu.read(512)) if self._cpu else None
            held = int(self._memory.read(32)) if self._memory else 0
            if self._stat:
                self._turn += 1
                if self._turn % _STAT_EVERY == 0 or abs(held - self._held) > self._held >> 6 or self._held < 0:
                    self._held = held
                    self._dropped = find_number(
                        self._stat.read(16384), b"inactive_file" if self._new else b"total_inactive_file"
                    )
            processes = int(self._pids.read(32)) if self._pids else None
        except (OSError, ValueError) as error:
            raise Gone(str(error)) from error
        return Reading(spent, max(0, held - self._dropped), processes)

    def _spent(self, text: bytes) -> float:
        return find_number(text, b"usage_usec") / 1e6 if self._new else int(text) / 1e9

    def limits(self) -> Limits:
        """Return what these groups enforce."""
        new = self._new
        memory = self._small("memory", "memory.max" if new else "memory.limit_in_bytes")
        if new:
            quota, _, period = self._small("cpu", "cpu.max").partition(" ")
        else:
            quota, period = self._small("cpu", "cpu.cfs_quota_us"), self._small("cpu", "cpu.cfs_period_us")
        enough = quota.isdigit() and period.isdigit() and int(period)
        whole = int(memory) if memory.isdigit() else _UNLIMITED
        pids = self._small("pids", "pids.max")
        return Limits(
            int(quota) / int(period) if enough else None,
            whole if whole < _UNLIMITED else None,
            int(pids) if pids.isdigit() else None,
        )

    def _small(self, controller: str, name: str) -> str:
        folder = self._folders.get(controller)
        try:
            return (folder / name).read_text().strip() if folder else ""
        except OSError:
            return ""

    def close(self) -> None:
        """Close its descriptors."""
        for file in (self._cpu, self._memory, self._stat, self._pids):
            if file is not None:
                file.close()


def find_number(text: bytes, key: bytes) -> int:
    """Return the number of the line `key number`, as in memory.stat and cpu.stat; 0 without such a line."""
    start = (b"\n" + text).find(b"\n" + key + b" ")
    if start < 0:
        return 0
    begin = start + len(key) + 1
    end = text.find(b"\n", begin)
    return int(text[begin : end if end >= 0 else len(text)])


@dataclass
class _Seen:
    started: int
    ticks: int
    resident: int = 0
    share: int = 0
    age: int = 0


class ProcessReader:
    """A server's processes: the first one and all that descend from it; what has detached itself is not seen.

    Memory is the sum of their proportional shares (PSS), so that what was shared by a fork is not counted twice; of
    processes that may not be looked into so closely it is what they hold alone and in common.
    """

    def __init__(self, running: Running, table: ProcessTable) -> None:
        self._pid = running.pid
        self._table = table
        self._seen: dict[int, _Seen] = {}
        self._spent = 0

    def read(self) -> Reading:
        """Return what they take now."""
        found = self._table.family(self._pid)
        if not found:
            raise Gone(f"process {self._pid} has ended")
        now: dict[int, _Seen] = {}
        processes = 0
        for pid, (started, ticks, resident, threads) in found.items():
            old = self._seen.get(pid)
            if old is None or old.started != started:
                old = _Seen(started, 0)
            self._spent += max(0, ticks - old.ticks)
            processes += threads
            if not old.share or old.age >= 6 or abs(resident - old.resident) > old.resident >> 6:
                old.share, old.resident, old.age = proportional(pid) or resident, resident, 0
            old.ticks, old.age = ticks, old.age + 1
            now[pid] = old
        self._seen = now
        return Reading(self._spent / _TICKS, sum(one.share for one in now.values()), processes)

    def limits(self) -> Limits:
        """Return none: without control groups nothing is enforced."""
        return Limits()

    def close(self) -> None:
        """Nothing is held."""


_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcessTable:
    """All processes of the machine, looked at once for all servers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, lasts: float = 0.5) -> None:
        self._clock = clock
        self._lasts = lasts
        self._read = -1e9
        self._processes: dict[int, tuple[int, int, int, int]] = {}
        self._children: dict[int, list[int]] = {}

    def family(self, pid: int) -> dict[int, tuple[int, int, int, int]]:
        """Return a process and its descendants: pid to start, ticks spent, bytes resident, threads."""
        if self._clock() - self._read > self._lasts:
            self._look()
        found: dict[int, tuple[int, int, int, int]] = {}
        todo = [pid]
        while todo:
            one = todo.pop()
            if one in self._processes and one not in found:
                found[one] = self._processes[one]
                todo += self._children.get(one, ())
        return found

    def _look(self) -> None:
        self._read = self._clock()
        self._processes, self._children = {}, {}
        for name in os.listdir("/proc"):  # noqa: PTH208 (names only)
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] not in b"ZX":
                pid, ticks = int(name), int(fields[11]) + int(fields[12])
                self._processes[pid] = (int(fields[19]), ticks, int(fields[21]) * _PAGE, int(fields[17]))
                self._children.setdefault(int(fields[1]), []).append(pid)


def proportional(pid: int) -> int:
    """Return a process's proportional set size in bytes (proc(5), smaps_rollup); 0 when it may not be read."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return 0
    at = text.find(b"\nPss:")
    return int(text[at + 5 :].split(None, 1)[0]) * 1024 if at >= 0 else 0


def open_reader(running: Running, budget: Descriptors, table: ProcessTable, turn: int) -> Reader:
    """Return the reader for a server; `Gone` when there is nothing to read (yet)."""
    return GroupReader(running, budget, turn) if running.folders else ProcessReader(running, table)
