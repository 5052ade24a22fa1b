"""A process is one process for good."""

import os
import signal
import subprocess
import sys
import time

import pytest

from hubwright.machine.process import Process


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield child
    child.kill()
    child.wait()


def test_a_running_process_is_known_by_pid_and_start(sleeper):
    process = Process.of(sleeper.pid)
    assert process is not None
    assert process.alive()
    assert 0 <= process.age < 60


def test_processor_time_is_counted_for_exactly_this_process():
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        process = Process.of(child.pid)
        assert process.spent >= 0.4
        assert Process(child.pid, process.started - 1).spent == 0
    finally:
        child.kill()
        child.communicate()
    assert process.spent == 0


def test_a_recycled_pid_is_another_process(sleeper):
    """The pid runs, but with another start time: it is neither alive, nor signalled, nor waited for."""
    found = Process.of(sleeper.pid)
    older = Process(sleeper.pid, found.started - 1000)
    assert not older.alive()
    assert older.signal(signal.SIGKILL) is False
    assert older.wait(0) is True
    assert older.stop(0) is True
    assert sleeper.poll() is None


def test_a_zombie_has_ended(sleeper):
    process = Process.of(sleeper.pid)
    assert process.wait(0) is False
    assert process.signal(signal.SIGKILL)
    assert process.wait(5)
    assert not process.alive()
    assert Process.of(sleeper.pid) is None


def test_waits_for_what_is_no_child_of_ours():
    script = (
        "import os, sys, time\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True); os.close(1); time.sleep(30)"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, timeout=20)
    orphan = Process.of(int(done.stdout))
    assert orphan.wait(0.05) is False
    assert orphan.stop(5)
    assert not orphan.alive()


def test_stop_kills_what_ignores_the_request():
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        child.stdout.read(1)
        began = time.monotonic()
        assert Process.of(child.pid).stop(0.2)
        assert 0.2 <= time.monotonic() - began < 5
    assert child.returncode == -signal.SIGKILL


def test_no_process_has_a_pid_that_is_free():
    assert Process.of(2**22 + 1) is None


def test_names_with_brackets_and_spaces_do_not_confuse(tmp_path):
    program = tmp_path / "a) S (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "30"]) as child:
        time.sleep(0.05)
        process = Process.of(child.pid)
        assert process.alive()
        assert process.age < 10
        process.signal(signal.SIGKILL)
    assert os.WTERMSIG(-child.returncode) == signal.SIGKILL
