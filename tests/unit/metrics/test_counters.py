"""Reading one server's counters, from files as the kernel writes them and from real processes."""

import os
import subprocess
import sys
import time

import pytest
from tests.conftest import wait_until

from hubwright.machine.usage import Running
from hubwright.metrics.counters import Descriptors, Gone, GroupReader, Limits, ProcessReader, ProcessTable, find_number
from hubwright.metrics.totals import Machine, parse_busy, parse_meminfo

MIB = 2**20
STAT_V1 = "cache 100\nrss 5\ninactive_file 77\ntotal_cache 9\ntotal_inactive_file {}\ntotal_active_file 3\n"
STAT_V2 = "anon 100\nfile 50\ninactive_anon 66\nactive_anon 1\ninactive_file {}\nactive_file 2\nslab 9\n"


def write(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def new(tmp_path):
    """A group of version 2."""
    texts = {
        "memory.current": f"{100 * MIB}\n",
        "memory.stat": STAT_V2.format(30 * MIB),
        "memory.max": f"{512 * MIB}\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n",
        "cpu.max": "50000 100000\n",
        "pids.current": "7\n",
        "pids.max": "max\n",
    }
    folder = write(tmp_path / "group", texts)
    return Running("ada", "", "1", 2, dict.fromkeys(("memory", "cpu", "pids"), folder))


@pytest.fixture
def old(tmp_path):
    """Groups of version 1."""
    texts = {
        "memory": {
            "memory.usage_in_bytes": f"{100 * MIB}\n",
            "memory.stat": STAT_V1.format(30 * MIB),
            "memory.limit_in_bytes": "9223372036854771712\n",
        },
        "cpuacct": {"cpuacct.usage": "2500000000\n"},
        "cpu": {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"},
        "pids": {"pids.current": "7\n", "pids.max": "64\n"},
    }
    folders = {kind: write(tmp_path / kind / "group", files) for kind, files in texts.items()}
    return Running("ada", "", "1", 1, folders)


@pytest.mark.parametrize("kept", [0, 10], ids=["opened each time", "kept open"])
@pytest.mark.parametrize("version", ["old", "new"])
def test_both_versions_are_read_alike(version, kept, request):
    budget = Descriptors(kept)
    reader = GroupReader(request.getfixturevalue(version), budget)
    for _ in range(4):
        found = reader.read()
        assert (found.cpu, found.memory, found.processes) == (2.5, 70 * MIB, 7)
    reader.close()
    assert budget.left == kept


def test_limits_are_those_that_the_machine_enforces(old, new):
    assert GroupReader(new, Descriptors(9)).limits() == Limits(0.5, 512 * MIB, None)
    assert GroupReader(old, Descriptors(9)).limits() == Limits(None, None, 64)


def test_file_pages_count_anew_as_soon_as_memory_moves(new):
    reader = GroupReader(new, Descriptors(9))
    assert reader.read().memory == 70 * MIB
    folder = new.folders["memory"]
    (folder / "memory.current").write_text(f"{400 * MIB}\n")
    (folder / "memory.stat").write_text(STAT_V2.format(350 * MIB))
    assert reader.read().memory == 50 * MIB


def test_a_group_that_is_half_made_or_half_removed_is_gone(new):
    (new.folders["memory"] / "pids.current").unlink()
    budget = Descriptors(9)
    with pytest.raises(Gone):
        GroupReader(new, budget)
    assert budget.left == 9


def test_a_missing_controller_is_not_counted(new):
    only = Running("ada", "", "1", 2, {"memory": new.folders["memory"]})
    found = GroupReader(only, Descriptors(9)).read()
    assert (found.cpu, found.memory, found.processes) == (None, 70 * MIB, None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"usage_usec 5\nuser_usec 1\n", 5),
        (b"active_file 3\ninactive_file 4", 4),
        (b"total_inactive_file 9\n", 0),
        (b"", 0),
    ],
)
def test_a_line_is_found_by_its_whole_key(text, number):
    key = b"usage_usec" if b"usage" in text else b"inactive_file"
    assert find_number(text, key) == number


def test_processes_are_counted_with_their_descendants():
    code = "import os, time\nx = bytearray(40 << 20)\nos.fork()\nwhile time.process_time() < 0.6: pass\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        reader = ProcessReader(Running("me", "", "1", pid=process.pid), ProcessTable(lasts=0))
        wait_until(lambda: reader.read().processes == 2)
        wait_until(lambda: (reader.read().cpu or 0) > 0.8, 30)
        # the 40 MB are shared by the fork, and counted once
        assert 40 * MIB <= reader.read().memory < 90 * MIB
    finally:
        os.killpg(process.pid, 9)
        process.wait()
    wait_until(lambda: gone(reader))


def gone(reader):
    try:
        reader.read()
    except Gone:
        return True
    return False


def test_the_machine_is_read():
    machine = Machine()
    first = machine.read()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    second = machine.read()
    machine.close()
    assert second.busy > first.busy
    assert 0 < second.memory < second.memory_total
    assert second.cpus == os.cpu_count()


def test_idle_waiting_and_stolen_time_is_not_busy():
    assert parse_busy(b"cpu  100 200 300 9999 8888 10 20 7777 100 0\ncpu0 1 1 1 1") == 630 / os.sysconf("SC_CLK_TCK")


def test_memory_of_an_old_kernel():
    assert parse_meminfo(b"MemTotal: 100 kB\nMemFree: 40 kB\n") == (102400, 40960)
    assert parse_meminfo(b"MemTotal: 100 kB\nMemFree: 4 kB\nMemAvailable: 60 kB\n") == (102400, 61440)
