"""What hangs is found and started anew; what is slow, or just starting, is left alone. With real processes."""

import signal
import socket
import time

import pytest

from hubwright.care.pulse import Pulse
from hubwright.care.watch import BackOff, Watch

ANSWERS = """
import os, socket, sys, time
time.sleep({late})
path = {path!r}
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
while True:
    listener.accept()[0].close()
"""
EVERY = 0.05


@pytest.fixture
def parts(tmp_path, program, voice):
    """Start programs that answer on a socket, and ask them; `parts("a", "b", late=0)`."""
    watch = Watch(tmp_path / "parts.json", voice, back_off=BackOff(first=0.02, longest=0.1))
    pulses = []

    def start(*names, late=0, misses=4, at_first=200):
        made = []
        for name in names:
            path = str(tmp_path / f"{name}.sock")
            code = ANSWERS.format(path=path, late=late)
            made.append(program(name, code, works=lambda path=path: answers(path)))
        watch.start(made)
        pulses.append(Pulse(made, watch.process, every=EVERY, misses=misses, at_first=at_first))
        pulses[-1].start()
        assert watch.until(lambda: late or all(part.works() for part in made), 10)
        return watch, pulses[-1]

    yield start
    for pulse in pulses:
        pulse.end()
        for thread in pulse._threads:
            thread.join(5)
    for name in list(watch._kept):
        watch.stop(name, hurry=lambda: True)


def answers(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.2)
        try:
            client.connect(path)
            return client.recv(1) == b""
        except OSError:
            return False


def attend(watch, pulse, seconds):
    """Do for a while what the supervisor does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.step(0.02)
        for name, process in pulse.silent().items():
            watch.restart(name, process, f"The {name} runs but has gone silent.")


def test_a_part_that_hangs_is_started_anew_and_the_other_is_not(parts, voice):
    watch, pulse = parts("hangs", "works")
    attend(watch, pulse, 1)
    before = {name: watch.process(name) for name in ("hangs", "works")}
    before["hangs"].signal(signal.SIGSTOP)
    attend(watch, pulse, 3)
    assert not before["hangs"].alive()
    assert watch.process("hangs").alive()
    assert watch.process("works") == before["works"]
    assert voice.warned == ["The hangs runs but has gone silent. Starting it again."]


def test_a_part_that_is_silent_for_a_moment_is_left_alone(parts, voice):
    watch, pulse = parts("slow", misses=20)
    before = watch.process("slow")
    for _ in range(3):
        before.signal(signal.SIGSTOP)
        attend(watch, pulse, 1)
        before.signal(signal.SIGCONT)
        attend(watch, pulse, 0.5)
    assert watch.process("slow") == before
    assert voice.warned == []


def test_a_part_that_starts_has_more_time_than_one_that_has_answered(parts, voice):
    watch, pulse = parts("late", late=1.5, misses=2)
    before = watch.process("late")
    attend(watch, pulse, 2.5)
    assert watch.process("late") == before


def test_a_part_that_never_answers_is_started_anew_in_the_end(parts, voice):
    watch, pulse = parts("never", late=1000, at_first=5)
    before = watch.process("never")
    attend(watch, pulse, 2)
    assert watch.process("never") != before
    assert voice.warned[0] == "The never runs but has gone silent. Starting it again."


def test_only_the_process_that_was_asked_is_ended(parts, voice):
    """One that died and came back meanwhile is not the one that was silent."""
    watch, pulse = parts("thing")
    old = watch.process("thing")
    old.signal(signal.SIGKILL)
    assert watch.until(lambda: watch.process("thing") not in (None, old), 10)
    new = watch.process("thing")
    watch.restart("thing", old, "never told")
    attend(watch, pulse, 0.5)
    assert watch.process("thing") == new
    assert voice.warned == ["The thing was killed (SIGKILL; out of memory, or by hand). Starting it again."]
