"""Looks at every server and at the machine, over and over: what they take now, and what goes into the history."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hubwright.errors import HubwrightError
from hubwright.machine.usage import Running, Source
from hubwright.metrics.counters import Descriptors, Gone, Limits, ProcessTable, Reader, open_reader
from hubwright.metrics.packing import Row
from hubwright.metrics.store import DETAIL, HOURS, MINUTES, MachineRow, Store
from hubwright.metrics.totals import Gpu, Machine, Totals
from hubwright.metrics.voice import say

_WAITING = 240
"""Steps that wait in memory while the disk is full: an hour."""
_LIMITS_EVERY = 12
"""Readings between two looks at a server's limits, which seldom change."""
_JUMP = 60.0
"""Seconds by which the clock must have been set to be doubted."""
_TRUST = 3600.0
"""Seconds after which a clock that was set, or never seen before, is believed enough to drop what it calls old."""


@dataclass(slots=True)
class Live:
    """One running server; changed by the sampler only, read by everybody."""

    key: str
    running: Running
    reader: Reader
    since: float
    """Unix time."""
    limits: Limits
    spent: float | None = None
    """Seconds of processor time since its birth."""
    looked: float = 0.0
    """When, by the monotonic clock."""
    cpu: float | None = None
    """Processors, over the last interval."""
    memory: int = 0
    processes: int | None = None
    turns: int = 0
    # in the step that is being gathered
    work: float = 0.0
    worked: float = 0.0
    held: int = 0
    peak: int = 0
    most: int = 0
    looks: int = 0


@dataclass(frozen=True)
class _Entry:
    """What a server took in one step, before it has a number."""

    key: str
    user: str
    server: str
    row: Row


@dataclass
class _Gathered:
    """The machine in the step that is being gathered."""

    cpu: float = 0.0
    seconds: float = 0.0
    load: float = 0.0
    memory: int = 0
    looks: int = 0


@dataclass
class Sampler:
    """Everything that is known now. `tick` is called every `every` seconds by one thread."""

    source: Source | None
    machine: Machine
    every: float
    open_store: Callable[[], Store]
    """Opens the history; raises sqlite3.Error or OSError while that cannot be."""
    budget: Descriptors
    servers: dict[str, Live] = field(default_factory=dict)
    totals: Totals | None = None
    busy: float | None = None
    """Processors that are busy."""
    at: float = 0.0
    trouble: str = ""
    """A sentence while the history cannot be written."""
    gpus: tuple[Gpu, ...] = ()
    gpu_memory: Mapping[str, int] = field(default_factory=dict)
    """Bytes of GPU memory by the name of a control group."""
    disk: tuple[int, int] = (0, 0)

    _store: Store | None = None
    _found: Mapping[str, Running] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    _table: ProcessTable = field(default_factory=ProcessTable)
    _numbers: dict[str, int] = field(default_factory=dict)
    _waiting: deque[tuple[int, MachineRow, list[_Entry]]] = field(default_factory=lambda: deque(maxlen=_WAITING))
    _ended: list[_Entry] = field(default_factory=list)
    _gathered: _Gathered = field(default_factory=_Gathered)
    _slot: int = 0
    _looked: float = 0.0
    _offset: float | None = None
    _trusted: float = 0.0
    _thinned: int = 0
    _opened: int = 0
    _silent: str = ""
    """Why nobody says what runs; told once."""

    def tick(self, monotonic: float, wall: float) -> None:
        """Look at everything once.

        Args:
            monotonic: seconds of a clock that is never set.
            wall: Unix time.
        """
        slot = int(wall // DETAIL.step * DETAIL.step)
        if self._offset is None or abs(wall - monotonic - self._offset) > _JUMP:
            self._offset, self._trusted = wall - monotonic, monotonic + _TRUST
        if self._slot and slot != self._slot:
            self._finish(self._slot, monotonic, wall)
        self._slot = slot
        self._find(wall)
        for live in list(self.servers.values()):
            self._look(live, monotonic)
        self._look_at_machine(monotonic)
        self.at = wall

    def finish(self, wall: float) -> None:
        """Write what was gathered; before the end."""
        if self._slot:
            self._finish(self._slot, self._looked, wall)
        if self._store is not None:
            self._store.close()
            self._store = None

    # Now

    def _find(self, wall: float) -> None:
        """Take up servers that are new, and let go of those that are not there any more."""
        if self.source is None:
            return
        try:
            found = self.source.running(self._lost)
            self._silent = ""
        except (HubwrightError, OSError) as error:
            found = self._found  # it is being started again: nothing ends by that
            if self._silent != str(error):
                self._silent = str(error)
                say(f"Nobody says now which servers run: {error}")
        self._lost = set()
        if found is not self._found:
            for key in [key for key, live in self.servers.items() if found.get(key) != live.running]:
                self._leave(key)
            self._found = found
        if len(self.servers) == len(found):
            return
        for key, running in found.items():
            if key not in self.servers:
                self._opened += 1
                try:
                    reader = open_reader(running, self.budget, self._table, self._opened)
                except Gone:  # half made, or half removed
                    self._lost.add(key)
                    continue
                self.servers[key] = Live(key, running, reader, wall, reader.limits())

    def _leave(self, key: str) -> None:
        live = self.servers.pop(key)
        live.reader.close()
        if live.looks:
            self._ended.append(self._entry(live))

    def _look(self, live: Live, monotonic: float) -> None:
        try:
            reading = live.reader.read()
        except Gone:
            self._lost.add(live.key)
            self._leave(live.key)
            return
        passed = monotonic - live.looked
        before, live.spent, live.looked = live.spent, reading.cpu, monotonic
        if before is None or reading.cpu is None or reading.cpu < before or passed <= 0:
            live.cpu = None
        else:
            live.cpu = (reading.cpu - before) / passed
            live.work += reading.cpu - before
            live.worked += passed
        live.memory, live.processes = reading.memory, reading.processes
        live.held += reading.memory
        live.peak = max(live.peak, reading.memory)
        live.most = max(live.most, reading.processes or 0)
        live.looks += 1
        live.turns += 1
        if live.turns % _LIMITS_EVERY == 0:
            live.limits = live.reader.limits()

    def _look_at_machine(self, monotonic: float) -> None:
        before, self.totals = self.totals, self.machine.read()
        passed = monotonic - self._looked
        self._looked = monotonic
        self.busy = None
        sums = self._gathered
        if before is not None and passed > 0 and self.totals.busy >= before.busy:
            self.busy = (self.totals.busy - before.busy) / passed
            sums.cpu += self.totals.busy - before.busy
            sums.seconds += passed
        sums.load += self.totals.load[0]
        sums.memory += self.totals.memory
        sums.looks += 1

    # Over time

    def _entry(self, live: Live) -> _Entry:
        """Return what a server took in this step, and begin the next."""
        seconds = min(DETAIL.step, max(1, round(live.looks * self.every)))
        cpu = live.work / live.worked if live.worked else -1.0
        row = Row(0, cpu, live.held // live.looks, live.peak, live.most, seconds)
        live.work = live.worked = 0.0
        live.held = live.peak = live.most = live.looks = 0
        return _Entry(live.key, live.running.user, live.running.server, row)

    def _finish(self, at: int, monotonic: float, wall: float) -> None:
        entries = self._ended + [self._entry(live) for live in self.servers.values() if live.looks]
        self._ended = []
        sums, self._gathered = self._gathered, _Gathered()
        if sums.looks:
            cpu = sums.cpu / sums.seconds if sums.seconds else 0.0
            machine = MachineRow(cpu, sums.load / sums.looks, sums.memory // sums.looks, DETAIL.step)
            self._waiting.append((at, machine, _once(entries)))
        try:
            if self._store is None:
                self._store = self.open_store()
            self._write(self._store, monotonic, wall)
        except (sqlite3.Error, OSError) as error:
            if not self.trouble:
                say(f"The history cannot be written: {error}.")
            self.trouble = f"The history cannot be written ({error}). What is shown as of now is right."
            self._numbers.clear()  # some were perhaps not kept
            if self._store is not None:
                self._store.close()
                self._store = None
        else:
            if self.trouble:
                say("The history is written again.")
            self.trouble = ""

    def _write(self, store: Store, monotonic: float, wall: float) -> None:
        with store.together():
            for at, machine, entries in self._waiting:
                rows = [_numbered(entry.row, self._number(store, entry, wall)) for entry in entries]
                store.add(DETAIL, at, machine, rows)
        self._waiting.clear()
        window = int(wall // MINUTES.step)
        if window != self._thinned:
            with store.together():
                store.thin(wall)
                store.touch([self._numbers[key] for key in self.servers if key in self._numbers], wall)
            if window % (HOURS.step // MINUTES.step) == 0 and monotonic >= self._trusted:
                with store.together():
                    store.prune(wall)
            store.shrink()
            self._thinned = window

    def _number(self, store: Store, entry: _Entry, wall: float) -> int:
        number = self._numbers.get(entry.key)
        if number is None:
            number = self._numbers[entry.key] = store.number(entry.key, entry.user, entry.server, wall)
        return number


def _numbered(row: Row, number: int) -> Row:
    return Row(number, row.cpu, row.memory, row.peak, row.processes, row.seconds)


def _once(entries: Iterable[_Entry]) -> list[_Entry]:
    """Return one entry a server: of one that ended and was born again within the step the longer life."""
    found: dict[str, _Entry] = {}
    for entry in entries:
        if entry.key not in found or found[entry.key].row.seconds < entry.row.seconds:
            found[entry.key] = entry
    return list(found.values())
