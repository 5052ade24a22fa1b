"""What is printed comes into the log, in order and bounded, whatever the printer does and whoever comes back."""

import os
import subprocess
import threading
import time

import pytest

from hubwright.engines.local.loop import Loop
from hubwright.engines.local.output import LIMIT, Output, append, make_pipe, open_pipe

FLOOD = "import os, time\nend = time.monotonic() + 2\nwhile time.monotonic() < end:\n    try: os.write(1, b'x' * 4096)\n    except BlockingIOError: pass"


class Done(Exception):
    """Ends a loop."""


def turn(loop, seconds):
    """Run a loop for so many seconds."""

    def end():
        raise Done

    loop.later(seconds, end)
    with pytest.raises(Done):
        loop.serve()


@pytest.fixture
def pipe(tmp_path):
    return make_pipe(tmp_path)


def test_what_is_printed_is_written_down(tmp_path, pipe):
    loop, log = Loop(), tmp_path / "ada.log"
    output = Output(loop, pipe, log)
    printer = open_pipe(pipe)
    os.write(printer, b"one\n")
    turn(loop, 0.01)
    os.write(printer, b"two\n")
    turn(loop, 0.2)
    assert log.read_bytes() == b"one\ntwo\n"
    assert log.stat().st_mode & 0o777 == 0o600
    os.write(printer, b"three\n")
    output.close()
    assert log.read_bytes().endswith(b"three\n")
    os.close(printer)


def test_who_prints_without_end_fills_no_disk_and_costs_little(tmp_path, pipe):
    """Looked at all the while: never more than the limit in each of two files."""
    loop, log = Loop(), tmp_path / "ada.log"
    log.write_bytes(b"y" * (LIMIT - 100_000))
    output = Output(loop, pipe, log)
    most, stop = [0, 0], threading.Event()

    def look():
        while not stop.wait(0.001):
            sizes = [path.stat().st_size if path.exists() else 0 for path in (log, tmp_path / "ada.log.1")]
            most[:] = map(max, most, sizes)

    looking = threading.Thread(target=look)
    printer = open_pipe(pipe)
    began = time.process_time()
    with subprocess.Popen(["/usr/bin/python3", "-c", FLOOD], stdout=printer) as flood:
        looking.start()
        turn(loop, 2.5)
        stop.set()
        looking.join()
        assert flood.wait(30) == 0
    output.close()
    os.close(printer)
    assert time.process_time() - began < 2
    assert max(most) <= LIMIT
    assert (tmp_path / "ada.log.1").stat().st_size > LIMIT - 200_000
    assert log.stat().st_size > 0


def test_nobody_waits_when_nobody_reads_and_who_comes_back_reads_on(tmp_path, pipe):
    printer = open_pipe(pipe)
    written = 0
    with pytest.raises(BlockingIOError):
        while True:
            written += os.write(printer, b"z" * 4096)
    loop = Loop()
    Output(loop, pipe, tmp_path / "ada.log").close()
    assert (tmp_path / "ada.log").stat().st_size == written > 0
    assert os.write(printer, b"again\n") == 6, "no SIGPIPE, and no error, without a reader"
    Output(loop, pipe, tmp_path / "ada.log").close()
    assert (tmp_path / "ada.log").read_bytes().endswith(b"zagain\n")
    os.close(printer)


def test_a_link_in_the_logs_place_is_not_followed(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path / "log", b"x")
    assert not (tmp_path / "elsewhere").exists()
