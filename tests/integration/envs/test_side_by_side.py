"""Two environments that are built at the same time: what a package of one tries on the other."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from tests.conftest import wait_until
from tests.environments import Lab, builders, built_as
from tests.integration.envs.test_left_running import python_with

from hubwright.envs import strays, together, trying
from hubwright.envs.versions import Version
from hubwright.errors import Refused

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(300)]

ATTACK = """
import ctypes, os, signal, subprocess, sys, time
PLACE = {place!r}


def try_on(pid, home):
    libc, won = ctypes.CDLL(None, use_errno=True), []
    if libc.ptrace(16, pid, 0, 0) == 0:  # PTRACE_ATTACH
        os.waitpid(pid, 0)
        libc.ptrace(17, pid, 0, 0)
        won.append("trace")
    for what in ("mem", "environ", "cwd"):
        try:
            os.open(f"/proc/{{pid}}/{{what}}", os.O_RDWR if what == "mem" else os.O_RDONLY)
            won.append(what)
        except OSError:
            pass
    try:
        open(f"{{home}}/kernel.json", "a").close()
        won.append("write")
    except OSError:
        pass
    try:
        os.kill(pid, signal.SIGKILL)
        won.append("kill")
    except OSError:
        pass
    return won


def attack():
    own = subprocess.Popen(["/bin/sleep", "60"], cwd="/tmp")
    told = f"own: {{try_on(own.pid, os.environ.get('HOME', ''))}}"
    own.wait()
    until = time.monotonic() + 60
    while not os.path.exists(PLACE + "/victim") and time.monotonic() < until:
        time.sleep(0.02)
    pid, home = open(PLACE + "/victim").read().split()
    told += f" other: {{try_on(int(pid), home)}}"
    with open(PLACE + "/told.new", "w") as file:
        file.write(told)
    open(PLACE + f"/attackers/{{os.getuid()}}", "w").close()
    os.rename(PLACE + "/told.new", PLACE + "/told")


def suffer():
    with open(PLACE + "/victim.new", "w") as file:
        file.write(f"{{os.getpid()}} {{os.environ['HOME']}}")
    os.chmod(PLACE + "/victim.new", 0o644)
    open(PLACE + f"/victims/{{os.getuid()}}", "w").close()
    os.rename(PLACE + "/victim.new", PLACE + "/victim")
    until = time.monotonic() + 60
    while not os.path.exists(PLACE + "/told") and time.monotonic() < until:
        time.sleep(0.02)
"""
"""What both packages have: `attack` tries its arts on a child of its own, then on whatever calls `suffer`."""
WHEN = "import os, sys; os.getuid() and 'HOME' in os.environ and not os.path.exists({once!r}) and (sys.path.append({at!r}), "
"""Once, in the kernel that is tried."""


def test_a_package_can_change_nothing_of_an_environment_that_is_built_beside_its_own(folder: Path) -> None:
    place = folder / "place"
    for path in (place, place / "attackers", place / "victims"):
        path.mkdir()
        path.chmod(0o777)
    (folder / "arts.py").write_text(ATTACK.format(place=str(place)))
    evil = WHEN.format(once=f"{place}/told", at=str(folder)) + "__import__('arts').attack())"
    good = WHEN.format(once=f"{place}/victim", at=str(folder)) + "__import__('arts').suffer())"
    lab = Lab(folder).write(
        f"  evil: {{kind: existing, prefix: {python_with(folder / 'evil', evil)}}}\n"
        f"  good: {{kind: existing, prefix: {python_with(folder / 'good', good)}}}"
    )
    entries = {name: lab.entry(name) for name in ("evil", "good")}
    made = dict(together.build_all(entries, lab.site, lambda step: None))
    assert all(isinstance(one, Version) for one in made.values()), made
    assert (place / "told").read_text() == "own: ['trace', 'mem', 'environ', 'cwd', 'write', 'kill'] other: []"
    assert built_as(place / "attackers") != built_as(place / "victims")


def test_each_build_has_an_account_of_its_own_and_more_than_there_are_wait_for_nobody(folder: Path) -> None:
    site, names, enough = Lab(folder).write("  lab: {kind: uv, packages: [six]}").site, [], threading.Event()
    begun = threading.Barrier(trying.MOST + 1)

    def build() -> None:
        with trying.account(site):
            names.append(trying.identity()["user"])
            begun.wait(60)
            enough.wait(60)

    threads = [threading.Thread(target=build) for _ in range(trying.MOST)]
    for thread in threads:
        thread.start()
    try:
        begun.wait(60)
        with pytest.raises(Refused, match="8 environments are just being built"), trying.account(site):
            pass
    finally:
        enough.set()
        for thread in threads:
            thread.join(60)
    assert len({*names}) == trying.MOST
    assert {*names} <= {*builders().values()}


def test_an_account_whose_number_a_container_uses_is_passed_over(folder: Path) -> None:
    """Docker's containers have user ids of their own, which are the machine's; nothing of theirs is ended."""
    site = Lab(folder).write("  lab: {kind: uv, packages: [six]}").site
    with trying.account(site):
        first = trying.identity()["user"]
    (uid,) = (uid for uid, name in builders().items() if name == first)
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "setpriv",
        f"--reuid={uid}",
        "--clear-groups",
        "sleep",
        "60",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL):
        try:
            wait_until(lambda: strays.living(uid)[1])
            with trying.account(site):
                assert trying.identity()["user"] != first
            assert strays.living(uid)[1], "it runs still"
        finally:
            for pid in strays.living(uid)[1]:
                os.kill(pid, signal.SIGKILL)
