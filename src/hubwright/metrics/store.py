"""The history on disk: SQLite, one row a step for all servers together, in three grades of detail.

A step is one small row, so that a thousand servers cost one write every 15 seconds. Coarser steps are made from the
finer ones on disk, never from memory: a process that is killed loses the step it was in, and nothing else. One store
is used by one thread; others open their own (write-ahead log: a reader waits for no writer).
"""

from __future__ import annotations

import sqlite3
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hubwright.metrics import packing

_SCHEMA = """
CREATE TABLE IF NOT EXISTS servers
    (number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, user TEXT NOT NULL, server TEXT NOT NULL, seen INTEGER);
CREATE TABLE IF NOT EXISTS homes (user TEXT PRIMARY KEY, at REAL, bytes INTEGER, quota INTEGER, whole INTEGER);
CREATE TABLE IF NOT EXISTS detail (at INTEGER PRIMARY KEY, machine BLOB NOT NULL, servers BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS minutes (at INTEGER PRIMARY KEY, machine BLOB NOT NULL, servers BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS hours (at INTEGER PRIMARY KEY, machine BLOB NOT NULL, servers BLOB NOT NULL);
"""
_MACHINE = struct.Struct("<ffQI")
_CACHE = 24 * 2**20
_FUTURE = 3600
"""Seconds ahead of the clock from which a step is a mistake of an earlier clock."""


@dataclass(frozen=True)
class Grade:
    """A table of steps of one length."""

    name: str
    step: int
    """Seconds."""


DETAIL, MINUTES, HOURS = Grade("detail", 15), Grade("minutes", 300), Grade("hours", 3600)
GRADES = (DETAIL, MINUTES, HOURS)


@dataclass(frozen=True)
class Keep:
    """Seconds that each grade is kept, and bytes that all of it may take."""

    detail: float = 86400.0
    minutes: float = 7 * 86400.0
    hours: float = 365 * 86400.0
    size: int = 2**29

    def seconds(self, grade: Grade) -> float:
        """Return how long a grade is kept."""
        return {DETAIL.name: self.detail, MINUTES.name: self.minutes, HOURS.name: self.hours}[grade.name]


@dataclass(frozen=True)
class MachineRow:
    """The machine in one step: means of processors that were busy, of load and of bytes."""

    cpu: float
    load: float
    memory: int
    seconds: int


@dataclass(frozen=True)
class Home:
    """What a home took when it was last counted."""

    at: float
    bytes: int
    limit: int | None
    whole: bool


class Store:
    """The history in one file.

    Raises:
        sqlite3.Error: from every method, when the disk is full or the file is damaged; nothing is half done then.
    """

    def __init__(self, path: Path, keep: Keep) -> None:
        self.path = path
        self._keep = keep
        self._database = sqlite3.connect(path, timeout=5, isolation_level=None)
        try:
            self._database.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before anything is written, WAL's mark included
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("PRAGMA cache_size=-1024")
            self._database.execute("PRAGMA journal_size_limit=4194304")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error:
            self._database.close()
            raise
        self._steps: OrderedDict[tuple[str, int], tuple[MachineRow, packing.Step]] = OrderedDict()
        self._held = 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is written within at once, or nothing of it."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    # Names

    def names(self) -> dict[str, tuple[str, str]]:
        """Return key to user and server of every server that the history knows."""
        found = self._database.execute("SELECT key, user, server FROM servers")
        return {key: (user, server) for key, user, server in found}

    def numbers(self) -> dict[int, tuple[str, str]]:
        """Return the number of every server in the steps, to its user and name."""
        found = self._database.execute("SELECT number, user, server FROM servers")
        return {number: (user, server) for number, user, server in found}

    def number(self, key: str, user: str, server: str, now: float) -> int:
        """Return a server's number, a new one for a new server."""
        change = (
            "INSERT INTO servers(key, user, server, seen) VALUES (?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET seen=?"
        )
        self._database.execute(change, (key, user, server, int(now), int(now)))
        found = self._database.execute("SELECT number FROM servers WHERE key=?", (key,)).fetchone()
        return int(found[0])

    # Homes

    def set_home(self, user: str, home: Home) -> None:
        """Keep what a home takes."""
        row = (user, home.at, home.bytes, home.limit, int(home.whole))
        self._database.execute("INSERT OR REPLACE INTO homes VALUES (?, ?, ?, ?, ?)", row)

    def homes(self) -> dict[str, Home]:
        """Return what every home took when it was last counted."""
        found = self._database.execute("SELECT user, at, bytes, quota, whole FROM homes")
        return {user: Home(at, size, quota, bool(whole)) for user, at, size, quota, whole in found}

    # Steps

    def add(self, grade: Grade, at: int, machine: MachineRow, rows: Iterable[packing.Row]) -> None:
        """Keep one step, in place of what was kept for that time."""
        words = _MACHINE.pack(machine.cpu, machine.load, machine.memory, machine.seconds)
        self._database.execute(
            f"INSERT OR REPLACE INTO {grade.name} VALUES (?, ?, ?)",  # noqa: S608 (a constant)
            (at, words, packing.pack(rows)),
        )
        self._forget(grade, at)

    def steps(self, grade: Grade, begin: float, end: float) -> Iterable[tuple[int, MachineRow, packing.Step]]:
        """Yield the steps that begin in [begin, end), in order; a damaged one is left out."""
        select = f"SELECT at FROM {grade.name} WHERE at >= ? AND at < ? ORDER BY at"  # noqa: S608
        for (at,) in self._database.execute(select, (begin, end)).fetchall():
            if (found := self._step(grade, at)) is not None:
                yield at, *found

    def _step(self, grade: Grade, at: int) -> tuple[MachineRow, packing.Step] | None:
        if (cached := self._steps.get((grade.name, at))) is not None:
            self._steps.move_to_end((grade.name, at))
            return cached
        select = f"SELECT machine, servers FROM {grade.name} WHERE at=?"  # noqa: S608
        row = self._database.execute(select, (at,)).fetchone()
        if row is None:
            return None
        try:
            found = MachineRow(*_MACHINE.unpack(row[0])), packing.unpack(row[1])
        except (struct.error, ValueError):
            return None
        self._steps[grade.name, at] = found
        self._held += found[1].size
        while self._held > _CACHE:
            _, (_, old) = self._steps.popitem(last=False)
            self._held -= old.size
        return found

    def _forget(self, grade: Grade, at: int) -> None:
        if (old := self._steps.pop((grade.name, at), None)) is not None:
            self._held -= old[1].size

    # Housekeeping

    def thin(self, now: float) -> None:
        """Make the coarser steps that have ended by `now` from the finer ones; as often as one likes."""
        for fine, coarse in ((DETAIL, MINUTES), (MINUTES, HOURS)):
            last = self._database.execute(f"SELECT max(at) FROM {coarse.name} WHERE at <= ?", (now,)).fetchone()[0]  # noqa: S608
            begin = 0 if last is None else last
            select = f"SELECT DISTINCT at / ? * ? FROM {fine.name} WHERE at >= ? AND at < ?"  # noqa: S608
            end = now // coarse.step * coarse.step
            windows = self._database.execute(select, (coarse.step, coarse.step, begin, end)).fetchall()
            for (window,) in windows:
                found = list(self.steps(fine, window, window + coarse.step))
                self.add(coarse, window, _mean([m for _, m, _ in found]), packing.join(step for _, _, step in found))

    def prune(self, now: float) -> None:
        """Drop what is older than it is kept, or in a future that an earlier clock told of; then what is too much."""
        for grade in GRADES:
            limits = (now - self._keep.seconds(grade), now + _FUTURE)
            self._database.execute(f"DELETE FROM {grade.name} WHERE at < ? OR at > ?", limits)  # noqa: S608
        self._database.execute("DELETE FROM servers WHERE seen < ?", (now - self._keep.hours - 86400,))
        self._database.execute("DELETE FROM homes WHERE at < ?", (now - self._keep.hours,))
        self.shrink()

    def shrink(self) -> None:
        """Give free pages back to the disk, and drop the oldest tenth of the finest grade while it is too much."""
        while self._size() > self._keep.size:
            for grade in GRADES:
                table = grade.name
                count = self._database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
                if count > 10:
                    drop = f"DELETE FROM {table} WHERE at IN (SELECT at FROM {table} ORDER BY at LIMIT ?)"  # noqa: S608
                    self._database.execute(drop, (count // 10,))
                    break
            else:
                break
        # each step of this pragma frees one page
        self._database.execute("PRAGMA incremental_vacuum").fetchall()
        with suppress(sqlite3.OperationalError):  # a reader is at work: the next time, then
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def touch(self, numbers: Iterable[int], now: float) -> None:
        """Note that servers are still there, so that their names are kept."""
        self._database.executemany("UPDATE servers SET seen=? WHERE number=?", [(int(now), n) for n in numbers])

    def _size(self) -> int:
        """Bytes in use; free pages are given back later."""
        words = ("page_count", "freelist_count", "page_size")
        pages, free, size = (self._database.execute(f"PRAGMA {word}").fetchone()[0] for word in words)
        return int((pages - free) * size)


def open_store(path: Path, keep: Keep, aside: str) -> tuple[Store, str]:
    """Return the store in `path`, and a sentence when the file was damaged and is kept beside it under `aside`."""
    try:
        return Store(path, keep), ""
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        damaged = path.with_name(aside)
        path.replace(damaged)
        for left in ("-wal", "-shm"):
            path.with_name(path.name + left).unlink(missing_ok=True)
        return Store(path, keep), f"The history was damaged ({error}); it is kept as {damaged}, and a new one is begun."


def _mean(rows: list[MachineRow]) -> MachineRow:
    seconds = sum(row.seconds for row in rows)
    whole = seconds or 1
    return MachineRow(
        sum(row.cpu * row.seconds for row in rows) / whole,
        sum(row.load * row.seconds for row in rows) / whole,
        sum(row.memory * row.seconds for row in rows) // whole,
        seconds,
    )
