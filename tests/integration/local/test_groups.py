"""Control groups of a service: they go with it, stay with `--keep`, and what a kill left is found at the next start."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account, wait_until
from tests.running import Service

from hubwright.engines.local import places
from hubwright.machine import cgroups
from hubwright.machine.process import Process

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 400M, processes: 120}
"""


def left(hub: Service) -> list[Path]:
    """Return every control group of a service, and under systemd the one of its unit."""
    mounts = {mount for mount in cgroups.find("x").mounts.values()}
    return [path for mount in mounts for path in mount.rglob(f"hubwright-{hub.run.name}*")]


def test_nothing_is_left_of_a_service_that_was_stopped(service: Callable[..., Service], person: Account) -> None:
    """Nor of one that was killed with its fork server and a notebook, once it was started again."""
    hub = service(YAML).up()
    hub.start(person.name)
    assert left(hub)
    assert hub.down() == 0
    assert left(hub) == []

    hub.up("--keep")
    notebook = hub.start(person.name)
    pid = notebook.pid
    assert hub.down() == 0
    assert Process.of(pid), "kept"
    hub.up()
    assert notebook.pid == pid

    base = places.hierarchy(hub.site)
    stale, strange = base.group("user.4711", "empty"), base.group("user.4711", "stray")
    stale.make()
    strange.make()
    stray = subprocess.Popen(["sleep", "600"])
    try:
        strange.enter(stray.pid)
        forks = hub.part("fork-server")
        assert hub.down(signal.SIGKILL) == -signal.SIGKILL
        os.kill(forks, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        hub.up()
        wait_until(lambda: stray.poll() == -signal.SIGKILL, 60)  # the fork server is being started
        wait_until(lambda: not list(base.group().folders[0].glob("user.*")))
        assert hub.listed() == []
        assert hub.down() == 0
        assert left(hub) == []
    finally:
        stray.kill()
        stray.wait()
