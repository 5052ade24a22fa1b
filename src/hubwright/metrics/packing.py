"""One step of the history as bytes: a column a quantity, a row a server, sorted by the server's number."""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

_PAGE = 4096
_TYPES = "IfIIHH"
"""number, processors, mean memory, most memory (both in pages of 4 KiB), processes, seconds."""


@dataclass(frozen=True, order=True)
class Row:
    """What one server took in one step."""

    number: int
    cpu: float
    """Processors, the mean over the time it ran; -1 when that is not known."""
    memory: int
    """Bytes, the mean."""
    peak: int
    """Bytes, the most."""
    processes: int
    seconds: int
    """For how much of the step it ran."""


class Step:
    """The rows of one step, to be looked up by number."""

    __slots__ = ("columns",)

    def __init__(self, columns: tuple[array[float] | array[int], ...]) -> None:
        self.columns = columns

    @property
    def size(self) -> int:
        """Bytes it takes in memory, about."""
        return 200 + 20 * len(self.columns[0])

    def row(self, number: int) -> Row | None:
        """Return a server's row; None when it did not run."""
        numbers = self.columns[0]
        place = bisect_left(numbers, number)
        if place == len(numbers) or numbers[place] != number:
            return None
        return self._at(place)

    def rows(self) -> Iterable[Row]:
        """Yield every row."""
        return (self._at(place) for place in range(len(self.columns[0])))

    def _at(self, place: int) -> Row:
        number, cpu, memory, peak, processes, seconds = (column[place] for column in self.columns)
        return Row(int(number), cpu, int(memory) * _PAGE, int(peak) * _PAGE, int(processes), int(seconds))


def pack(rows: Iterable[Row]) -> bytes:
    """Return rows as bytes."""
    ordered = sorted(rows)
    columns = (
        array("I", [row.number for row in ordered]),
        array("f", [row.cpu for row in ordered]),
        array("I", [min(row.memory // _PAGE, 2**32 - 1) for row in ordered]),
        array("I", [min(row.peak // _PAGE, 2**32 - 1) for row in ordered]),
        array("H", [min(row.processes, 65535) for row in ordered]),
        array("H", [min(row.seconds, 65535) for row in ordered]),
    )
    plain = len(ordered).to_bytes(4, "little") + b"".join(column.tobytes() for column in columns)
    return zlib.compress(plain, 1)


def unpack(data: bytes) -> Step:
    """Return the step of `pack`.

    Raises:
        ValueError: it is damaged.
    """
    try:
        plain = memoryview(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    count, start = int.from_bytes(plain[:4], "little"), 4
    columns: list[array[float] | array[int]] = []
    for kind in _TYPES:
        column: array[float] | array[int] = array(kind)
        end = start + count * column.itemsize
        column.frombytes(plain[start:end])
        columns.append(column)
        start = end
    if start != len(plain) or any(len(column) != count for column in columns):
        raise ValueError("a step of the history is cut off")
    return Step(tuple(columns))


def join(steps: Iterable[Step]) -> list[Row]:
    """Return the rows of one longer step made of shorter ones: means weighed by how long each server ran."""
    sums: dict[int, list[float]] = {}
    for step in steps:
        for row in step.rows():
            found = sums.setdefault(row.number, [0.0] * 6)
            found[0] += row.seconds
            if row.cpu >= 0:
                found[1] += row.cpu * row.seconds
                found[2] += row.seconds
            found[3] += row.memory * row.seconds
            found[4] = max(found[4], row.peak)
            found[5] = max(found[5], row.processes)
    rows = []
    for number, (seconds, work, counted, memory, peak, processes) in sums.items():
        cpu = work / counted if counted else -1.0
        mean = int(memory / seconds) if seconds else 0
        rows.append(Row(number, cpu, mean, int(peak), int(processes), int(seconds)))
    return rows
