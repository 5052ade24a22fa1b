"""The history on disk: what is kept, how it becomes thinner, and that nothing breaks it."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubwright.metrics import packing
from hubwright.metrics.history import DAY, WEEK, History
from hubwright.metrics.packing import Row
from hubwright.metrics.store import DETAIL, HOURS, MINUTES, Home, Keep, MachineRow, Store, open_store

BEGIN = 1_800_000_000 // 3600 * 3600
MIB = 2**20


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "metrics.sqlite", Keep())
    yield made
    made.close()


def fill(store, begin, seconds, rows, *, cpu=1.0, step=15):
    with store.together():
        for at in range(begin, begin + seconds, step):
            store.add(DETAIL, at, MachineRow(cpu, 0.5, 100 * MIB, step), rows(at))


rows = st.lists(
    st.builds(
        Row,
        st.integers(1, 2**32 - 1),
        st.floats(0, 4096, width=32),
        st.integers(0, 2**40),
        st.integers(0, 2**40),
        st.integers(0, 70000),
        st.integers(0, 3600),
    ),
    unique_by=lambda row: row.number,
    max_size=50,
)


@given(rows)
def test_what_is_packed_is_unpacked(given_rows):
    step = packing.unpack(packing.pack(given_rows))
    found = list(step.rows())
    assert [row.number for row in found] == sorted(row.number for row in given_rows)
    for row in given_rows:
        kept = step.row(row.number)
        assert kept is not None
        assert (kept.cpu, kept.seconds, kept.processes) == (row.cpu, row.seconds, min(row.processes, 65535))
        assert 0 <= row.memory - kept.memory < 4096
    assert step.row(0) is None


@given(st.binary(max_size=200))
def test_damaged_bytes_are_told(data):
    with pytest.raises(ValueError):
        packing.unpack(data)


def test_a_cut_step_is_told():
    import zlib

    whole = zlib.decompress(packing.pack([Row(1, 1, 1, 1, 1, 1)]))
    for size in range(4, len(whole)):
        with pytest.raises(ValueError):
            packing.unpack(zlib.compress(whole[:size]))


def test_thinner_steps_are_means_over_the_time_that_a_server_ran(store):
    number = store.number("k", "ada", "", BEGIN)
    # half a processor for the first minute, then it ends; the window goes on
    fill(store, BEGIN, 60, lambda at: [Row(number, 0.5, 100 * MIB, 120 * MIB, 9, 15)])
    fill(store, BEGIN + 60, 3600 - 60, lambda at: [])
    store.thin(BEGIN + 3600)
    minutes = {at: step for at, _, step in store.steps(MINUTES, BEGIN, BEGIN + 3600)}
    assert len(minutes) == 12
    assert minutes[BEGIN].row(number) == Row(number, 0.5, 100 * MIB, 120 * MIB, 9, 60)
    assert minutes[BEGIN + 300].row(number) is None
    ((at, machine, step),) = store.steps(HOURS, BEGIN, BEGIN + 3600)
    assert (at, machine.seconds, machine.cpu) == (BEGIN, 3600, 1.0)
    assert step.row(number) == Row(number, 0.5, 100 * MIB, 120 * MIB, 9, 60)


def test_thinning_twice_or_late_is_the_same(store, tmp_path):
    other = Store(tmp_path / "other.sqlite", Keep())
    for one in (store, other):
        number = one.number("k", "ada", "", BEGIN)
        fill(one, BEGIN, 7200, lambda at, number=number: [Row(number, (at % 7) / 7, at % 1000 * 4096, 4096, 1, 15)])
    for at in range(BEGIN, BEGIN + 7201, 300):
        store.thin(at)
        store.thin(at)
    other.thin(BEGIN + 7200)
    for grade in (MINUTES, HOURS):
        one, two = ([(a, m, list(s.rows())) for a, m, s in x.steps(grade, 0, 2**40)] for x in (store, other))
        assert one == two
    other.close()


def test_what_is_old_goes_and_the_rest_stays(store):
    number = store.number("k", "ada", "", BEGIN)
    fill(store, BEGIN, 3600, lambda at: [Row(number, 1, 1, 1, 1, 15)])
    store.thin(BEGIN + 3600)
    store.prune(BEGIN + 3600 + DAY)
    assert not list(store.steps(DETAIL, 0, 2**40))
    assert len(list(store.steps(MINUTES, 0, 2**40))) == 12
    store.prune(BEGIN + 3600 + WEEK)
    assert not list(store.steps(MINUTES, 0, 2**40))
    assert len(list(store.steps(HOURS, 0, 2**40))) == 1
    store.prune(BEGIN + 3600 + 400 * DAY)
    assert not list(store.steps(HOURS, 0, 2**40))
    assert store.names() == {}


def test_a_step_from_a_future_that_never_came_goes(store):
    fill(store, BEGIN + 10 * 86400, 15, lambda at: [])
    fill(store, BEGIN, 600, lambda at: [])
    store.thin(BEGIN + 600)
    assert len(list(store.steps(MINUTES, BEGIN, BEGIN + 600))) == 2
    store.prune(BEGIN + 600)
    assert max(at for at, _, _ in store.steps(DETAIL, 0, 2**40)) < BEGIN + 600


def test_it_never_takes_more_than_it_may(tmp_path):
    import random

    limit = 8 * MIB
    store = Store(tmp_path / "m.sqlite", Keep(size=limit))
    chaos = random.Random(1)
    for first in range(0, 4000, 400):
        with store.together():
            for number in range(first, first + 400):
                many = [
                    Row(n, chaos.random(), chaos.randrange(2**35), chaos.randrange(2**35), 9, 15) for n in range(1, 300)
                ]
                store.add(DETAIL, BEGIN + number * 15, MachineRow(1, 1, 1, 15), many)
        store.shrink()
        whole = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert whole < limit + 8 * MIB, whole
    kept = [at for at, _, _ in store.steps(DETAIL, 0, 2**40)]
    assert len(kept) > 100
    assert kept[-1] == BEGIN + 3999 * 15, "the newest is kept"
    store.close()


def test_a_damaged_file_is_put_aside(tmp_path):
    path = tmp_path / "metrics.sqlite"
    path.write_bytes(b"no database" * 1000)
    store, words = open_store(path, Keep(), "metrics.damaged")
    assert "damaged" in words
    assert (tmp_path / "metrics.damaged").read_bytes().startswith(b"no database")
    store.number("k", "ada", "", 1)
    store.close()
    store, words = open_store(path, Keep(), "metrics.damaged")
    assert words == ""
    assert store.names() == {"k": ("ada", "")}
    store.close()


def test_a_write_that_fails_leaves_nothing_half_done(store):
    with pytest.raises(sqlite3.OperationalError), store.together():
        store.number("k", "ada", "", 1)
        raise sqlite3.OperationalError("database or disk is full")
    assert store.names() == {}


def test_homes_are_kept(store):
    home = Home(5.0, 2**41, None, False)
    store.set_home("ada", home)
    store.set_home("ada", Home(6.0, 1, 2, True))
    assert store.homes() == {"ada": Home(6.0, 1, 2, True)}


def test_lines_have_gaps_where_nothing_ran(store):
    number = store.number("k", "ada", "lab", BEGIN)
    fill(store, BEGIN, 1800, lambda at: [Row(number, 0.25, 8 * MIB, 9 * MIB, 1, 15)] if at < BEGIN + 900 else [])
    found = History(store, Keep()).lines(BEGIN + 1800 - 1, 1.0, 60, None, None, None)
    assert found["step"] == 60
    assert found["from"] == BEGIN - 1800
    assert found["machine"]["cpu"] == [None] * 30 + [1.0] * 30
    (line,) = found["servers"]
    assert (line["user"], line["server"]) == ("ada", "lab")
    assert line["cpu"] == [None] * 30 + [0.25] * 15 + [None] * 15
    assert line["memory"][30] == 8 * MIB


def test_long_lines_are_made_of_thin_steps_and_end_with_now(store):
    number = store.number("k", "ada", "", BEGIN)
    fill(store, BEGIN, 7200 + 600 + 120, lambda at: [Row(number, 2.0, 4096, 4096, 1, 15)])
    store.thin(BEGIN + 7200 + 600 + 120)
    now = BEGIN + 7200 + 600 + 119
    for hours, points in ((3, 500), (24, 100), (24 * 300, 100)):
        found = History(store, Keep()).lines(now, hours, points, {"ada"}, None, None)
        (line,) = found["servers"]
        assert len(line["cpu"]) <= points + 1
        assert line["cpu"][-1] == 2.0, "the newest point is there, though it is not thinned yet"
        assert len(line["cpu"]) == len(line["memory"]) == len(found["machine"]["load"])


def test_only_those_are_told_who_were_asked_for(store):
    numbers = [store.number(user, user, "", BEGIN) for user in ("ada", "bob", "eve")]
    fill(store, BEGIN, 300, lambda at: [Row(n, float(n), 4096, 4096, 1, 15) for n in numbers])
    history = History(store, Keep())
    assert [x["user"] for x in history.lines(BEGIN + 299, 1, 60, {"bob"}, None, None)["servers"]] == ["bob"]
    assert [x["user"] for x in history.lines(BEGIN + 299, 1, 60, None, None, 2)["users"]] == ["eve", "bob"]
    assert not history.lines(BEGIN + 299, 1, 60, {"bob"}, "other", None)["servers"]


def test_what_an_earlier_person_of_the_name_did_is_not_told(store):
    numbers = [store.number(user, user, "", BEGIN) for user in ("ada", "bob")]
    fill(store, BEGIN, 600, lambda at: [Row(n, 1.0, 4096, 4096, 1, 15) for n in numbers])
    history = History(store, Keep())
    lines = history.lines(BEGIN + 599, 1, 60, {"ada", "bob"}, None, None, {"ada": BEGIN + 300.0})["servers"]
    counts = {line["user"]: sum(x is not None for x in line["cpu"]) for line in lines}
    assert counts == {"ada": 5, "bob": 10}
    assert not history.lines(BEGIN + 599, 1, 60, {"ada"}, None, None, {"ada": BEGIN + 601.0})["servers"]


def test_two_servers_of_a_user_add_up(store):
    numbers = [store.number(name, "ada", name, BEGIN) for name in ("", "two")]
    fill(store, BEGIN, 300, lambda at: [Row(n, 1.0, 8 * MIB, 4096, 1, 15) for n in numbers])
    (line,) = History(store, Keep()).lines(BEGIN + 299, 1, 12, None, None, 5)["users"]
    assert line["cpu"][-1] == 2.0
    assert line["memory"][-1] == 16 * MIB


def test_means_over_a_day_and_a_week_count_absence_as_nothing(store):
    number = store.number("k", "ada", "", BEGIN)
    fill(store, BEGIN, 6 * 3600, lambda at: [Row(number, 1.0, 1000 * 4096, 2000 * 4096, 1, 15)])
    store.thin(BEGIN + 6 * 3600)
    day, week = History(store, Keep()).means(BEGIN + 6 * 3600)["ada"]
    assert day.cpu == pytest.approx(0.25)
    assert day.memory == pytest.approx(250 * 4096)
    assert week.cpu == pytest.approx(0.25 / 7)
    assert week.peak == 2000 * 4096
    # two days later the week still has it
    day, week = History(store, Keep()).means(BEGIN + 3 * DAY)["ada"]
    assert (day.cpu, day.memory) == (0, 0)
    assert week.cpu == pytest.approx(0.25 / 7)


def test_the_history_of_a_killed_process_is_there(tmp_path):
    """SIGKILL between two writes: what was committed is read by the next process."""
    import os
    import signal
    import subprocess
    import sys

    path = tmp_path / "m.sqlite"
    code = (
        "import sys, time; from pathlib import Path; from hubwright.metrics.store import *\n"
        "s = Store(Path(sys.argv[1]), Keep())\n"
        "for at in range(0, 10**9, 15):\n"
        "    with s.together(): s.add(DETAIL, at, MachineRow(1, 1, 1, 15), [])\n"
        "    print(at, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    seen = [int(process.stdout.readline()) for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store, words = open_store(Path(path), Keep(), "damaged")
    assert words == ""
    assert [at for at, _, _ in store.steps(DETAIL, 0, seen[-1] + 1)] == seen
    store.close()
