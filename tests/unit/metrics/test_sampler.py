"""What is known now, and what goes into the history: servers that come, go and are born again, clocks that jump."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from hubwright.errors import NotRunning
from hubwright.machine.usage import Running
from hubwright.metrics.counters import Descriptors
from hubwright.metrics.sampler import Sampler
from hubwright.metrics.store import DETAIL, MINUTES, Keep, Store
from hubwright.metrics.totals import Machine

MIB = 2**20
BEGIN = 1_800_000_000 // 3600 * 3600


class Groups:
    """Servers as folders of version 2, and a source that tells of them."""

    def __init__(self, folder):
        self.folder = folder
        self.found = {}
        self.silent = False
        self.lost = []

    def running(self, lost):
        self.lost.append(set(lost))
        if self.silent:
            raise NotRunning("nobody answers")
        return self.found

    def put(self, key, cpu, memory=10 * MIB, birth="1", user="ada"):
        place = self.folder / f"{key}-{birth}"
        place.mkdir(exist_ok=True)
        texts = {
            "cpu.stat": f"usage_usec {int(cpu * 1e6)}\n",
            "memory.current": f"{memory}\n",
            "memory.stat": "inactive_file 0\n",
            "pids.current": "3\n",
        }
        for name, text in texts.items():
            (place / name).write_text(text)
        server = Running(user, key, birth, 2, dict.fromkeys(("memory", "cpu", "pids"), place))
        if self.found.get(key) != server:
            self.found = {**self.found, key: server}

    def drop(self, key):
        self.found = {name: server for name, server in self.found.items() if name != key}


class Clock:
    def __init__(self, sampler):
        self.sampler = sampler
        self.monotonic = 1000.0
        self.wall = float(BEGIN)

    def tick(self, seconds=5.0, jump=0.0):
        self.monotonic += seconds
        self.wall += seconds + jump
        self.sampler.tick(self.monotonic, self.wall)


@pytest.fixture
def groups(tmp_path):
    folder = tmp_path / "groups"
    folder.mkdir()
    return Groups(folder)


@pytest.fixture
def sampler(groups, tmp_path):
    machine = Machine()
    made = Sampler(groups, machine, 5.0, lambda: Store(tmp_path / "m.sqlite", Keep()), Descriptors(100))
    yield made
    made.finish(made.at)
    machine.close()


@pytest.fixture
def clock(sampler):
    return Clock(sampler)


@pytest.fixture
def history(tmp_path):
    made = []

    def read(grade=DETAIL):
        store = Store(tmp_path / "m.sqlite", Keep())
        made.append(store)
        names = store.numbers()
        return [
            (at, {names[row.number][1]: row for row in step.rows()}) for at, _, step in store.steps(grade, 0, 2**40)
        ]

    yield read
    for store in made:
        store.close()


def test_a_rate_is_what_was_spent_between_two_looks(groups, sampler, clock):
    groups.put("k", 100.0)
    clock.tick()
    live = sampler.servers["k"]
    assert (live.cpu, live.memory, live.processes) == (None, 10 * MIB, 3)
    groups.put("k", 102.5)
    clock.tick()
    assert live.cpu == pytest.approx(0.5)
    clock.tick(10)
    assert live.cpu == 0


def test_a_counter_that_starts_again_is_no_negative_rate(groups, sampler, clock):
    groups.put("k", 100.0)
    clock.tick()
    groups.put("k", 1.0)
    clock.tick()
    assert sampler.servers["k"].cpu is None
    groups.put("k", 2.0)
    clock.tick()
    assert sampler.servers["k"].cpu == pytest.approx(0.2)


def test_a_server_that_is_born_again_is_another_one(groups, sampler, clock):
    groups.put("k", 100.0, birth="1")
    clock.tick()
    first = sampler.servers["k"]
    groups.put("k", 101.0, birth="2")
    clock.tick()
    second = sampler.servers["k"]
    assert second is not first
    assert second.cpu is None
    assert sampler.budget.left == 96, "the descriptors of the first are closed"


def test_a_server_whose_files_vanish_is_gone_and_the_source_is_told(groups, sampler, clock):
    sampler.budget.left = 0  # files are opened for each look: a removed one is seen as in the kernel
    groups.put("k", 1.0)
    clock.tick()
    for path in (groups.folder / "k-1").iterdir():
        path.unlink()
    clock.tick()
    assert sampler.servers == {}
    clock.tick()
    assert "k" in groups.lost[-1]
    groups.put("k", 1.0)
    clock.tick()
    assert "k" in sampler.servers


def test_nothing_ends_while_nobody_says_what_runs(groups, sampler, clock):
    groups.put("k", 1.0)
    clock.tick()
    groups.silent = True
    groups.put("k", 2.0)
    clock.tick()
    assert sampler.servers["k"].cpu == pytest.approx(0.2)


def test_steps_hold_means_and_the_most(groups, sampler, clock, history):
    for cpu, memory in ((0, 10), (5, 30), (10, 20), (15, 40)):
        groups.put("k", float(cpu), memory * MIB)
        clock.tick()
    (at, rows), *_ = history()
    assert at == BEGIN
    assert (rows["k"].cpu, rows["k"].memory, rows["k"].peak) == (1.0, 20 * MIB, 30 * MIB)
    assert rows["k"].seconds == 10, "two looks of five seconds in the first step"


def test_a_server_that_ended_within_a_step_is_in_it(groups, sampler, clock, history):
    groups.put("k", 1.0)
    clock.tick()
    groups.drop("k")
    for _ in range(3):
        clock.tick()
    (_, rows), *_ = history()
    assert rows["k"].seconds == 5


def test_a_life_across_two_births_is_one_row(groups, sampler, clock, history):
    groups.put("k", 1.0, birth="1")
    clock.tick(1)
    groups.put("k", 2.0, birth="2")
    clock.tick(1)
    clock.tick(15)
    assert list(history()[0][1]) == ["k"]


@pytest.mark.parametrize("jump", [-7200.0, 7200.0, 86400.0 * 400, -86400.0 * 400])
def test_a_clock_that_is_set_changes_no_rate_and_drops_no_history(groups, sampler, clock, history, jump):
    for cpu in range(60):
        groups.put("k", cpu * 5.0)
        clock.tick()
    before = len(history())
    groups.put("k", 60 * 5.0)
    clock.tick(jump=jump)
    assert sampler.servers["k"].cpu == pytest.approx(1.0)
    for cpu in range(61, 180):
        groups.put("k", cpu * 5.0)
        clock.tick()
        assert sampler.servers["k"].cpu == pytest.approx(1.0)
    assert len(history()) >= before + 35
    assert all(rows["k"].cpu == pytest.approx(1.0) for _, rows in history() if "k" in rows)
    assert history(MINUTES), "it is thinned by the new time too"


def test_old_steps_go_once_the_clock_is_trusted(groups, sampler, clock, history, tmp_path):
    store = Store(tmp_path / "m.sqlite", Keep())
    store.close()
    groups.put("k", 0.0)
    clock.tick()
    clock.tick(15)
    clock.tick(60, jump=3 * 86400)
    for _ in range(8):
        clock.tick(300)
    assert history()[0][0] == BEGIN
    for _ in range(20):
        clock.tick(300)
    assert history()[0][0] > BEGIN


class Full:
    """A disk that is full while `full` is true."""

    def __init__(self, store):
        self.store = store
        self.full = False

    def __call__(self):
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        return self.store()


def test_a_full_disk_is_told_and_what_waited_is_written_later(groups, sampler, clock, history, capsys):
    disk = sampler.open_store = Full(sampler.open_store)
    disk.full = True
    for cpu in range(20):
        groups.put("k", cpu * 5.0)
        clock.tick()
    assert "disk is full" in sampler.trouble
    assert sampler.servers["k"].cpu == pytest.approx(1.0)
    disk.full = False
    for cpu in range(20, 24):
        groups.put("k", cpu * 5.0)
        clock.tick()
    assert sampler.trouble == ""
    times = [at for at, _ in history()]
    assert times[0] == BEGIN
    assert times == list(range(times[0], times[-1] + 1, 15)), "nothing is missing"
    told = capsys.readouterr().err
    assert told.count("cannot be written") == 1
    assert told.count("written again") == 1


def test_a_disk_that_stays_full_costs_no_more_than_an_hour_of_memory(groups, sampler, clock):
    disk = sampler.open_store = Full(sampler.open_store)
    disk.full = True
    for _ in range(300):
        clock.tick(15)
    assert len(sampler._waiting) == 240
    disk.full = False


def test_limits_are_looked_at_again(groups, sampler, clock):
    groups.put("k", 1.0)
    clock.tick()
    assert sampler.servers["k"].limits.memory is None
    (groups.folder / "k-1" / "memory.max").write_text("1048576\n")
    for _ in range(12):
        clock.tick()
    assert sampler.servers["k"].limits.memory == MIB


def test_an_engine_without_a_source_shows_the_machine(sampler, clock):
    sampler.source = None
    clock.tick()
    clock.tick()
    assert sampler.totals is not None
    assert replace(sampler.totals, busy=0).memory_total > 0
