"""A control group of the service's own: it outlives who asked for it, holds limits, and is given back."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import wait_until

from hubwright.machine import cgroups, delegate

SYSTEMD = Path("/run/systemd/system").is_dir() and Path("/sys/fs/cgroup/cgroup.controllers").exists()
systemd = pytest.mark.skipif(
    not SYSTEMD or os.geteuid() != 0, reason="needs root on a machine that systemd and cgroup v2 run"
)


@pytest.fixture
def name() -> Iterator[str]:
    name = f"hwt-{secrets.token_hex(4)}"
    yield name
    found = delegate.ensure(name)
    for folder in found.group().folders:
        for place in folder.rglob("cgroup.procs"):
            if place.parent.name != "holder":
                for pid in place.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
    assert delegate.release(found, 10)


def sleeper(group: cgroups.Group) -> subprocess.Popen[bytes]:
    group.make()
    process = subprocess.Popen(["sleep", "600"])
    group.enter(process.pid)
    return process


@pytest.mark.root
def test_a_server_lives_in_its_group_until_it_is_given_back(name: str) -> None:
    """On every machine: asked twice, the same place; given back only when nothing is left in it."""
    found = delegate.ensure(name)
    assert delegate.ensure(name) == found
    group = found.group("user.1", "server")
    process = sleeper(group)
    assert not delegate.release(found, 0.1)
    assert group.pids() == [process.pid]
    process.kill()
    process.wait(10)
    assert delegate.release(found, 10)
    assert not any(folder.exists() for folder in found.group().folders)


@systemd
def test_systemd_gives_a_unit_without_limits_of_its_own(name: str) -> None:
    found = delegate.ensure(name)
    assert found.base == f"system.slice/{name}.service"
    assert not found.missing(cgroups.Limits(1, 1, 1))
    folder = found.group().folders[0]
    found.group("user.1").make()
    assert {"cpu", "memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split())
    for limit in ("memory.max", "pids.max"):
        assert (folder / limit).read_text().strip() == "max"
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=60)
    assert {"cpu", "memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split())


@systemd
def test_notebooks_outlive_the_holder_of_the_unit(name: str) -> None:
    """Somebody kills it: systemd forgets the group, the service finds it again, and later gets a new unit."""
    found = delegate.ensure(name)
    group = found.group("user.1", "server")
    group.make()
    group.limit(cgroups.Limits(memory=100 * 2**20, processes=20))
    process = sleeper(group)
    (holder,) = found.group("holder").pids()
    os.kill(holder, signal.SIGKILL)
    wait_until(lambda: not delegate._unit_group(f"{name}.service"))
    again = delegate.ensure(name)
    assert again == found
    assert group.pids() == [process.pid]
    assert (group.folders[0] / "memory.max").read_text().strip() == str(100 * 2**20)
    other = again.group("user.2", "server")
    other.make()
    other.limit(cgroups.Limits(memory=100 * 2**20, cpu=0.5, processes=20))
    assert other.remove()
    process.kill()
    process.wait(10)
    wait_until(group.remove)
    assert delegate.ensure(name).group("holder").pids()


@systemd
def test_one_that_ran_out_of_memory_does_not_end_the_others(name: str) -> None:
    found = delegate.ensure(name)
    other = sleeper(found.group("user.1", "other"))
    group = found.group("user.1", "server")
    group.make()
    group.limit(cgroups.Limits(memory=50 * 2**20))
    hog = subprocess.run(
        ["/usr/bin/python3", "-c", "b = bytearray(200 * 2**20)"],
        preexec_fn=lambda: group.enter(os.getpid()),
        check=False,
        timeout=60,
    )
    assert hog.returncode == -9
    assert group.usage().oom_kills == 1
    assert other.poll() is None
    assert delegate._unit_group(f"{name}.service")
    other.kill()
    other.wait(10)


@pytest.mark.root
def test_clearing_ends_what_runs_and_leaves_no_group(name: str) -> None:
    """Servers' groups with and without processes, and the empty ones above; what was never made is clear already."""
    assert delegate.clear(name)
    found = delegate.ensure(name)
    busy, empty = found.group("user.1", "server"), found.group("open", "user.2", "server")
    empty.make()
    process = sleeper(busy)
    assert {group.path for group in delegate.servers(found)} == {busy.path, empty.path}
    assert delegate.find(name) == found
    ending = threading.Thread(target=process.wait)
    ending.start()
    assert delegate.clear(name, 10)
    ending.join(10)
    assert process.returncode == -signal.SIGKILL
    assert not any(folder.exists() for folder in found.group().folders)
    assert not [tree for tree in cgroups.trees() if list(tree.glob(f"{name}*"))]
