"""When a class meets: days, holidays, clocks that change, what is on and what comes next."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from hubwright.classes.timetable import Entry, Lesson, Timetable, parse, parse_days


def table(*entries: str, free: tuple[str, ...] = (), zone: str = "Europe/Berlin") -> Timetable:
    return Timetable(tuple(parse(one) for one in entries), tuple(parse_days(one) for one in free), zone)


def utc(*words: int) -> datetime:
    return datetime(*words, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon 09:00-10:30", {0}),
        ("Mon,wed 9:00-10:30", {0, 2}),
        ("mon-fri 09:00 - 10:30", {0, 1, 2, 3, 4}),
        ("sat-mon 09:00-10:30", {5, 6, 0}),
    ],
)
def test_a_line_names_days_of_the_week(text, days):
    assert parse(text) == Entry(frozenset(days), None, time(9), time(10, 30))


def test_a_line_names_one_day():
    assert parse("2030-12-20 14:00-16:00") == Entry(frozenset(), date(2030, 12, 20), time(14), time(16))
    assert parse_days("2030-12-21..2031-01-06") == (date(2030, 12, 21), date(2031, 1, 6))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("monday 09:00-10:30", "days of the week"),
        ("mon 10:30-09:00", "ends before it begins"),
        ("mon 09:00", "must be days and times"),
        ("mon 24:00-25:00", "must have times"),
        ("2030-02-30 09:00-10:00", "must have days such as"),
    ],
)
def test_what_is_no_line_says_what_it_must_be(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_times_are_of_the_zone_and_move_with_its_clock():
    """Nine o'clock stays nine o'clock when summer time ends (Berlin: 2030-10-27)."""
    found = table("mon 09:00-10:30").lessons(utc(2030, 10, 21), utc(2030, 11, 1))
    assert [one.begin for one in found] == [utc(2030, 10, 21, 7), utc(2030, 10, 28, 8)]
    assert {one.end - one.begin for one in found} == {timedelta(minutes=90)}


def test_an_hour_that_does_not_exist_is_no_error():
    """In Berlin on 2030-03-31 the clock goes from two to three."""
    assert table("sun 02:15-02:45").lessons(utc(2030, 3, 31), utc(2030, 4, 1)) == [
        Lesson(utc(2030, 3, 31, 1, 15), utc(2030, 3, 31, 1, 45))
    ]


def test_on_holidays_nothing_is_on():
    meets = table("mon-fri 09:00-10:00", free=("2030-12-24", "2030-12-26..2030-12-31"))
    days = [one.begin.day for one in meets.lessons(utc(2030, 12, 23), utc(2031, 1, 2))]
    assert days == [23, 25, 1]


def test_what_is_on_counts_from_before_it_begins_until_its_end():
    meets = table("mon 09:00-10:30", zone="UTC")
    monday = Lesson(utc(2030, 10, 21, 9), utc(2030, 10, 21, 10, 30))
    assert meets.running(utc(2030, 10, 21, 8, 49), 600) is None
    assert meets.running(utc(2030, 10, 21, 8, 51), 600) == monday
    assert meets.running(utc(2030, 10, 21, 10, 29), 600) == monday
    assert meets.running(utc(2030, 10, 21, 10, 30), 600) is None
    assert meets.following(utc(2030, 10, 21, 9, 30)).begin == utc(2030, 10, 28, 9)
    assert table("2030-10-21 09:00-10:30").following(utc(2031, 1, 1)) is None


def test_east_of_the_date_line_days_are_the_zones():
    found = table("mon 08:00-09:00", zone="Pacific/Auckland").lessons(utc(2030, 10, 20), utc(2030, 10, 22))
    assert [one.begin for one in found] == [utc(2030, 10, 20, 19)]
