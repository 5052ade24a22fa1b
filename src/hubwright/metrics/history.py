"""Questions to the history: lines to be drawn, and means over a day and a week."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubwright.metrics.packing import Step
from hubwright.metrics.store import DETAIL, HOURS, MINUTES, Grade, Keep, MachineRow, Store

DAY, WEEK = 86400.0, 7 * 86400.0


@dataclass
class _Line:
    """Sums for every point of one line."""

    count: int
    cpu: list[float] = field(init=False)
    memory: list[float] = field(init=False)
    seconds: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.cpu, self.memory, self.seconds = ([0.0] * self.count for _ in range(3))

    def add(self, place: int, cpu: float, memory: int, seconds: float) -> None:
        self.cpu[place] += max(0.0, cpu) * seconds
        self.memory[place] += memory * seconds
        self.seconds[place] += seconds

    @property
    def work(self) -> float:
        return sum(self.cpu)

    def means(self, over: list[float] | None = None) -> dict[str, list[float | int | None]]:
        """Return the points: means over the time it ran, or over `over`; null where there is none."""
        weights = over or self.seconds
        there = [w if own else 0.0 for w, own in zip(weights, self.seconds, strict=True)]
        return {
            "cpu": [round(c / w, 4) if w else None for c, w in zip(self.cpu, there, strict=True)],
            "memory": [round(m / w) if w else None for m, w in zip(self.memory, there, strict=True)],
        }


@dataclass(frozen=True)
class Means:
    """What one user took over a time, all his servers together; what did not run counts as 0."""

    cpu: float = 0.0
    memory: int = 0
    peak: int = 0
    """The most bytes that one of his servers held."""


class History:
    """Reads one store; for one thread."""

    def __init__(self, store: Store, keep: Keep) -> None:
        self._store = store
        self._keep = keep
        self._means: tuple[float, dict[str, tuple[Means, Means]]] = (-1e9, {})

    def lines(
        self,
        now: float,
        hours: float,
        points: int,
        users: Collection[str] | None,
        server: str | None,
        top: int | None,
        since: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Return the machine's line and those of servers, or with `top` of the users who used most; see the package.

        Args:
            now: Unix time at which the lines end.
            hours: how far back they go.
            points: how many points each has at most.
            users: whose servers; None for everybody's.
            server: of this name only; None for every name.
            top: lines are users', at most so many; None: lines are servers'.
            since: Unix time before which a user's name was somebody else's, for those of whom it is known.
        """
        width = max(DETAIL.step, hours * 3600 / points)
        grade = next((g for g in (HOURS, MINUTES) if g.step <= width), DETAIL)
        while self._keep.seconds(grade) < hours * 3600 and grade is not HOURS:
            grade = MINUTES if grade is DETAIL else HOURS
        width = -(-width // grade.step) * grade.step
        count = max(1, round(hours * 3600 / width))
        begin = (now // width + 1 - count) * width
        begun = since or {}
        names = self._store.numbers()
        names = {
            number: name
            for number, name in names.items()
            if (users is None or name[0] in users) and server in (None, name[1])
        }
        machine = _Line(count)
        lines: dict[tuple[str, str], _Line] = {}
        load = [0.0] * count
        for at, whole, step in self._steps(grade, begin, now):
            place = int((at - begin) // width)
            if not 0 <= place < count:
                continue
            machine.add(place, whole.cpu, whole.memory, whole.seconds)
            load[place] += whole.load * whole.seconds
            for number, name in names.items() if users is not None else _present(step, names):
                if (row := step.row(number)) is not None and at >= begun.get(name[0], 0.0):
                    key = name if top is None else (name[0], "")
                    lines.setdefault(key, _Line(count)).add(place, row.cpu, row.memory, row.seconds)
        seconds = machine.seconds
        found: dict[str, Any] = {"from": begin, "step": width}
        shown = {"load": [round(x / s, 2) if s else None for x, s in zip(load, seconds, strict=True)]}
        found["machine"] = {**machine.means(), **shown}
        if top is None:
            found["servers"] = [{"user": u, "server": s, **line.means()} for (u, s), line in sorted(lines.items())]
        else:
            most = sorted(lines.items(), key=lambda item: -item[1].work)[:top]
            # two servers of a user at once add up: his mean is over the time that passed, not over theirs
            found["users"] = [{"user": user, **line.means(seconds)} for (user, _), line in most]
        return found

    def means(self, now: float) -> dict[str, tuple[Means, Means]]:
        """Return for every user of the last week the means over a day and over the week; a minute old at most."""
        if 0 <= now - self._means[0] < 60:
            return self._means[1]
        names = self._store.numbers()
        sums: dict[str, list[float]] = {}
        for at, _, step in self._steps(HOURS, now - WEEK, now):
            today = at >= now - DAY
            for row in step.rows():
                if row.number not in names:
                    continue
                found = sums.setdefault(names[row.number][0], [0.0] * 6)
                work, held = max(0.0, row.cpu) * row.seconds, float(row.memory * row.seconds)
                for first in (0, 3) if today else (3,):
                    found[first] += work
                    found[first + 1] += held
                    found[first + 2] = max(found[first + 2], row.peak)
        means = {
            user: (
                Means(one[0] / DAY, int(one[1] / DAY), int(one[2])),
                Means(one[3] / WEEK, int(one[4] / WEEK), int(one[5])),
            )
            for user, one in sums.items()
        }
        self._means = (now, means)
        return means

    def _steps(self, grade: Grade, begin: float, end: float) -> Iterable[tuple[int, MachineRow, Step]]:
        """Yield the steps of a grade, and after its last one the finer ones, which it is not yet made of."""
        reached = begin
        for coarse in (HOURS, MINUTES, DETAIL):
            if coarse.step > grade.step:
                continue
            for at, machine, step in self._store.steps(coarse, reached, end):
                yield at, machine, step
                reached = at + coarse.step


def _present(step: Step, names: dict[int, tuple[str, str]]) -> list[tuple[int, tuple[str, str]]]:
    return [(int(number), names[int(number)]) for number in step.columns[0] if int(number) in names]
