"""What dies is started again, what runs is adopted, what is stopped stays stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hubwright.care.watch import BackOff, Watch, read_ledger
from hubwright.machine.process import Process

QUICK = BackOff(first=0.02, longest=0.1, steady=5, loop=4)


@pytest.fixture
def watch(tmp_path, voice):
    watches = []

    def make(**options):
        options.setdefault("back_off", QUICK)
        watches.append(Watch(tmp_path / "parts.json", voice, **options))
        return watches[-1]

    yield make
    for process, _ in read_ledger(tmp_path / "parts.json").values():
        process.stop(0)
    for made in watches:
        for name in list(made._kept):
            made.stop(name, hurry=lambda: True)


def test_back_off_doubles_to_its_longest():
    delays = [BackOff().delay(n) for n in range(1, 10)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert BackOff().delay(10_000) == 10


def test_a_part_that_is_killed_is_started_again(watch, program, voice, tmp_path):
    kept = watch()
    assert kept.start([program()]) == []
    first = kept.process("thing")
    first.signal(signal.SIGKILL)
    assert kept.until(lambda: kept.process("thing") not in {first, None}, 10)
    assert voice.warned == ["The thing was killed (SIGKILL; out of memory, or by hand). Starting it again."]
    noted = json.loads((tmp_path / "parts.json").read_text())["thing"]
    assert noted["pid"] == kept.process("thing").pid
    assert kept.stop("thing")
    assert json.loads((tmp_path / "parts.json").read_text()) == {}


def test_a_crash_loop_is_told_once_with_the_end_of_the_log(watch, program, voice):
    kept = watch()
    kept.start([program(code="print('no such database', flush=True); raise SystemExit(3)")])
    assert kept.until(lambda: kept.looping("thing"), 20)
    for _ in range(10):
        kept.step(0.1)
    assert len(voice.warned) == QUICK.loop
    assert "The thing left with code 3. It has failed 4 times in a row" in voice.warned[-1]
    assert "  no such database" in voice.warned[-1]


def test_a_program_that_cannot_be_run_is_tried_again_and_told(watch, program, voice, tmp_path):
    (tmp_path / "thing.log").mkdir()
    kept = watch()
    kept.start([program()])
    assert kept.until(lambda: kept.looping("thing"), 10)
    assert "Cannot write the log" in voice.warned[-1]
    (tmp_path / "thing.log").rmdir()
    assert kept.until(lambda: kept.process("thing") is not None, 10)


def test_what_an_earlier_watch_started_is_adopted(watch, program, voice):
    old = watch()
    old.start([program("a"), program("b")])
    processes = {name: old.process(name) for name in "ab"}
    new = watch()
    assert new.start([program("a"), program("b")]) == ["a", "b"]
    assert {name: new.process(name) for name in "ab"} == processes
    processes["a"].signal(signal.SIGKILL)
    os.waitpid(processes["a"].pid, 0)
    assert new.until(lambda: new.process("a") not in {None, processes["a"]}, 10)
    assert voice.warned == ["The a ended. Starting it again."]
    assert new.process("b") == processes["b"]


def test_another_version_is_started_anew_and_what_is_not_wanted_ends(watch, program):
    old = watch()
    old.start([program("a"), program("b"), program("c")])
    before = {name: old.process(name) for name in "abc"}
    new = watch()
    assert new.start([program("a"), program("b", version="2")]) == ["a"]
    assert new.process("a") == before["a"]
    assert new.process("b") != before["b"]
    assert not before["b"].alive()
    assert not before["c"].alive()


def test_a_recycled_pid_is_not_adopted(watch, program, tmp_path):
    """The ledger names a pid that is now some other program: it is neither adopted nor stopped."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        entry = {"pid": stranger.pid, "started": Process.of(stranger.pid).started - 7}
        ledger = {name: {**entry, "fingerprint": program(name).fingerprint} for name in ("thing", "gone")}
        (tmp_path / "parts.json").write_text(json.dumps(ledger))
        kept = watch()
        assert kept.start([program()]) == []
        assert kept.process("thing").pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"a": 1}', '{"a": {"pid": "x"}}'])
def test_a_damaged_ledger_is_an_empty_one(tmp_path, text):
    (tmp_path / "parts.json").write_text(text)
    assert read_ledger(tmp_path / "parts.json") == {}


def test_stopping_waits_for_the_grace_and_not_longer(watch, program):
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    kept = watch()
    part = program(code=stubborn, grace=0.3)
    kept.start([part])
    kept.until(lambda: part.log.read_text() == "up\n", 10)
    began = time.monotonic()
    assert kept.stop("thing")
    assert 0.3 <= time.monotonic() - began < 3


def test_a_hurry_cuts_the_grace_short(watch, program):
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    kept = watch()
    part = program(code=stubborn, grace=60)
    kept.start([part])
    kept.until(lambda: part.log.read_text() == "up\n", 10)
    began = time.monotonic()
    assert kept.stop("thing", hurry=lambda: True)
    assert time.monotonic() - began < 3


def test_what_is_forgotten_runs_on_and_is_found_again(watch, program):
    kept = watch()
    kept.start([program()])
    process = kept.process("thing")
    kept.forget()
    assert process.alive()
    assert watch().start([program()]) == ["thing"]


def test_a_ledger_that_cannot_be_written_is_told_once_and_caught_up_with(watch, program, voice, tmp_path):
    """As on a full /run: what runs is kept running."""
    ledger = tmp_path / "parts.json"
    ledger.mkdir()
    kept = watch()
    kept.start([program()])
    first = kept.process("thing")
    first.signal(signal.SIGKILL)
    assert kept.until(lambda: kept.process("thing") not in {first, None}, 10)
    assert [text for text in voice.warned if "Cannot write" in text] == [voice.warned[0]]
    ledger.rmdir()
    kept.step(0)
    assert json.loads(ledger.read_text())["thing"]["pid"] == kept.process("thing").pid
    ledger.unlink()
    ledger.mkdir()
    assert kept.stop("thing")
    ledger.rmdir()
