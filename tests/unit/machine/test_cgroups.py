"""Control groups: found on either version, limits that are measured to hold, nothing left behind."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import measured, wait_until
from tests.running import stuck

from hubwright.errors import MachineError
from hubwright.machine import cgroups
from hubwright.machine.cgroups import Limits

V2 = "29 23 0:26 / {mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 29 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "31 29 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 29 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
)


def test_version_two_is_found_with_the_controllers_it_has(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory\n")
    found = cgroups.find("x", V2.format(mount=tmp_path))
    assert found == cgroups.Hierarchy(2, {"memory": tmp_path, "cpu": tmp_path}, "x")


def test_version_one_is_found_with_a_mount_for_each_controller() -> None:
    """Also where the unified hierarchy is mounted beside it: the controllers are bound to version one."""
    found = cgroups.find("x", V1 + V2.format(mount="/sys/fs/cgroup/unified"))
    assert found.version == 1
    assert found.mounts["cpu"] == found.mounts["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert found.mounts["memory"] == Path("/sys/fs/cgroup/memory")
    assert "pids" not in found.mounts


def test_a_limit_without_its_controller_is_named() -> None:
    found = cgroups.find("x", V1)
    assert found.missing(Limits(memory=1, cpu=1)) == ""
    assert "processes" not in found.missing(Limits(memory=1))
    assert "pids" in found.missing(Limits(processes=10))
    with pytest.raises(MachineError, match="cannot enforce a limit on pids"):
        found.group("a").limit(Limits(processes=10))


def test_what_is_asked_never_passes_what_is_allowed() -> None:
    allowed = Limits(memory=100, cpu=0.5)
    assert Limits().within(allowed) == allowed
    assert Limits(memory=200, cpu=0.2, processes=9).within(allowed) == Limits(100, 0.2, 9)
    assert Limits(memory=50).within(Limits()) == Limits(memory=50)


def test_no_limit_needs_no_controller() -> None:
    assert cgroups.Hierarchy(2, {}, "x").missing(Limits()) == ""


def test_what_is_mounted_read_only_is_not_there(tmp_path: Path) -> None:
    """As in a container: then no limit can be enforced."""
    mountinfo = f"30 23 0:26 / {tmp_path} ro,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert cgroups.find("x", mountinfo).missing(Limits(cpu=1))
    assert not cgroups.find("x", mountinfo, to_read=True).missing(Limits(cpu=1))


@pytest.mark.root
def test_a_group_is_made_while_the_one_above_is_being_removed(group: cgroups.Group) -> None:
    """The last of a user's servers ends while another of his starts."""
    stop = threading.Event()
    above = cgroups.Group(group.hierarchy, str(Path(group.path).parent))

    def remove() -> None:
        while not stop.wait(random.uniform(0, 0.02)):
            above.remove()

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for _ in range(100):
            group.make()
            assert all(folder.is_dir() for folder in group.folders)
            assert group.remove()
    finally:
        stop.set()
        thread.join()
        group.make()


@pytest.mark.root
def test_sweep_takes_the_empty_groups_only(group: cgroups.Group) -> None:
    beside = cgroups.Group(group.hierarchy, f"{group.path}2")
    beside.make()
    sleeper = run(group, "import time; time.sleep(60)")
    wait_until(lambda: group.pids() == [sleeper.pid])
    above = cgroups.Group(group.hierarchy, str(Path(group.path).parent))
    assert not above.sweep()
    assert group.pids() == [sleeper.pid]
    assert not any(folder.exists() for folder in beside.folders)
    sleeper.kill()
    sleeper.communicate()
    wait_until(above.sweep)
    group.make()


@pytest.fixture
def group() -> Iterator[cgroups.Group]:
    base = f"hwt-{secrets.token_hex(4)}"
    found = cgroups.find(base)
    one = found.group("user", "server")
    one.make()
    yield one
    one.kill()
    wait_until(one.remove)
    assert found.group("user").remove()
    assert found.group().remove()


def run(group: cgroups.Group, code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/usr/bin/python3", "-c", code],
        preexec_fn=lambda: group.enter(os.getpid()),
        stdout=subprocess.PIPE,
    )


@pytest.mark.root
def test_memory_past_the_limit_is_ended_and_counted(group: cgroups.Group) -> None:
    group.limit(Limits(memory=100 * 2**20))
    hog = run(group, "b = bytearray(300 * 2**20); print(len(b))")
    assert hog.communicate(timeout=60)[0] == b""
    assert hog.returncode == -9
    assert group.usage().oom_kills == 1
    file = group.oom_file()
    assert file and cgroups.count_oom_kills(file) == 1


@pytest.mark.root
def test_the_processor_is_capped_within_a_tenth(group: cgroups.Group) -> None:
    group.limit(Limits(cpu=0.3))
    code = "import time\nt = time.perf_counter(); c = time.process_time()\nwhile time.perf_counter() - t < 3: pass\n"
    code += "print(time.process_time() - c, time.process_time())"
    spent = 0.0

    def share() -> float:
        nonlocal spent
        used, whole = map(float, run(group, code).communicate(timeout=60)[0].split())
        spent += whole
        return used / 3

    shares = measured(share, 0.3 * 0.9)
    assert max(shares) == pytest.approx(0.3, rel=0.12), shares
    assert group.usage().cpu == pytest.approx(spent, abs=0.3 * len(shares))


@pytest.mark.root
def test_processes_past_the_limit_are_not_made(group: cgroups.Group) -> None:
    group.limit(Limits(processes=5))
    code = "import os\nn = 0\ntry:\n    while n < 20:\n        if os.fork() == 0: import time; time.sleep(60)\n        n += 1\n"
    code += "except BlockingIOError:\n    print(n)"
    process = run(group, code)
    assert process.stdout and process.stdout.readline() == b"4\n"
    group.kill()
    process.communicate(timeout=10)


@pytest.mark.root
def test_kill_ends_also_what_keeps_forking(group: cgroups.Group) -> None:
    """One call is enough, and later the group holds processes again."""
    group.limit(Limits(processes=100))
    process = run(group, "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)")
    process.stdout and process.stdout.close()
    wait_until(lambda: group.usage().processes >= 50)
    group.kill()
    process.wait(10)
    wait_until(lambda: group.pids() == [])
    group.limit(Limits())
    assert run(group, "import subprocess; print(subprocess.call(['true']))").communicate(timeout=20)[0] == b"0\n"


@pytest.mark.root
def test_kill_does_not_wait_for_who_does_not_end(group: cgroups.Group) -> None:
    """The fork server has one thread, and others want their servers."""
    sleeper = run(group, "import time; time.sleep(60)")
    with sleeper:
        wait_until(lambda: group.pids() == [sleeper.pid])
        with stuck(sleeper.pid):
            spent = []
            for _ in range(5):
                began = time.monotonic()
                group.kill()
                spent.append(time.monotonic() - began)
            assert min(spent) < 0.05, spent
    assert sleeper.returncode == -9


@pytest.mark.root
def test_usage_of_a_group_that_is_not_there_is_nothing() -> None:
    assert cgroups.find("hwt-none").group("a").usage() == cgroups.Usage(0, 0.0, 0, 0)
