"""When a class meets, from what stands in hub.yaml; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hubwright.fields import shown

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ENTRY = re.compile(r"(\S+)\s+(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})")
_FAR = 60
"""Days that are looked ahead for the next lesson."""


@dataclass(frozen=True)
class Entry:
    """A line of the timetable: days of every week, or one day; local times."""

    weekdays: frozenset[int]
    day: date | None
    begin: time
    end: time


@dataclass(frozen=True)
class Lesson:
    """One time that a class meets, in UTC."""

    begin: datetime
    end: datetime


def parse(text: str) -> Entry:
    """Read `mon,wed 09:00-10:30`, `mon-fri 9:00-10:30` or `2030-12-20 14:00-16:00`.

    Raises:
        ValueError: with a sentence of what it must be.
    """
    found = _ENTRY.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(
            f'must be days and times such as "mon,wed 09:00-10:30" or "2030-12-20 14:00-16:00", not {shown(text)}.'
        )
    begin, end = _time(found[2]), _time(found[3])
    if begin >= end:
        raise ValueError(f"ends before it begins: {shown(text)}.")
    if found[1][0].isdigit():
        return Entry(frozenset(), _date(found[1]), begin, end)
    return Entry(frozenset(_weekdays(found[1])), None, begin, end)


def parse_days(text: str) -> tuple[date, date]:
    """Read `2030-12-24` or `2030-12-21..2031-01-06`; return the first and the last day.

    Raises:
        ValueError: with a sentence of what it must be.
    """
    first, dots, last = text.partition("..")
    found = _date(first.strip()), _date(last.strip() if dots else first.strip())
    if found[0] > found[1]:
        raise ValueError(f"ends before it begins: {shown(text)}.")
    return found


@dataclass(frozen=True)
class Timetable:
    """All times of a class."""

    entries: tuple[Entry, ...]
    free: tuple[tuple[date, date], ...]
    zone: str

    def lessons(self, since: datetime, until: datetime) -> list[Lesson]:
        """Return what ends after `since` and begins before `until`, in their order.

        A time that a change of the clock leaves out or repeats is what it was before the change.
        """
        zone = ZoneInfo(self.zone)
        day, last = since.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
        found = set()
        while day <= last:
            if not any(first <= day <= end for first, end in self.free):
                found |= {*self._of(day, zone)}
            day += timedelta(days=1)
        wanted = (one for one in found if one.end > since and one.begin < until)
        return sorted(wanted, key=lambda one: (one.begin, one.end))

    def _of(self, day: date, zone: ZoneInfo) -> Iterator[Lesson]:
        for entry in self.entries:
            if day == entry.day or day.weekday() in entry.weekdays:
                begin, end = (datetime.combine(day, at, zone).astimezone(UTC) for at in (entry.begin, entry.end))
                yield Lesson(begin, end)

    def running(self, now: datetime, before: float) -> Lesson | None:
        """Return the lesson that is on, or begins within `before` seconds."""
        found = self.lessons(now, now + timedelta(seconds=before))
        return found[0] if found else None

    def following(self, now: datetime) -> Lesson | None:
        """Return the next lesson that has not begun, of the next two months."""
        ahead = self.lessons(now, now + timedelta(days=_FAR))
        return next((one for one in ahead if one.begin > now), None)


def _time(text: str) -> time:
    hour, _, minute = text.partition(":")
    if int(hour) > 23 or int(minute) > 59:
        raise ValueError(f'must have times such as "09:00", not {shown(text)}.')
    return time(int(hour), int(minute))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'must have days such as "2030-12-24", not {shown(text)}.') from error


def _weekdays(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in WEEK or (dash and last not in WEEK):
            raise ValueError(f"must have days of the week ({', '.join(WEEK)}), not {shown(part)}.")
        begin, end = WEEK.index(first), WEEK.index(last or first)
        yield from (number % 7 for number in range(begin, end + 1 + 7 * (end < begin)))
