"""Limits, reserves and what goes with them, on control groups of version 2 that systemd divides: in a guest.

What needs a whole service takes long there, and is a repetition of tests that run on this machine, whatever it has. The
others are part of every run: four minutes on a machine that does nothing else, and two more to make the image first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.machine.guest import Guest

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def machine(module_guest: Guest) -> Iterator[Guest]:
    """A guest in which nothing of ours may be left after all tests."""
    yield module_guest
    left = module_guest.run("find /sys/fs/cgroup -name 'hubwright-*' -o -name 'hwt-*'; systemctl list-units -q 'h*-*'")
    assert "hubwright-" not in left and "hwt-" not in left, left


def passed(said: str) -> int:
    """Return how many tests passed; none may have been skipped, or be expected to fail."""
    found = re.fullmatch(r"(\d+) passed(, \d+ deselected)? in .*", said)
    assert found, said
    return int(found[1])


def test_groups_hold_and_systemd_gives_and_takes_them(machine: Guest) -> None:
    """What `machine` says of control groups, its units for notebooks included."""
    said = machine.pytest("tests/unit/machine/test_cgroups.py", "tests/unit/machine/test_delegate.py", timeout=120)
    assert passed(said) >= 17


def test_a_fork_server_holds_servers_and_kernels_to_their_limits(machine: Guest) -> None:
    """As inside_limits.py has it: memory, processors, processes; who is ended, who lives on, and what is left."""
    assert passed(machine.pytest("tests/machine/inside_limits.py", timeout=120)) == 7


@pytest.mark.long
def test_a_server_is_held_to_its_limits(machine: Guest) -> None:
    """A real service and its people: who goes past memory is ended and told, processors and processes are capped."""
    assert passed(machine.pytest("tests/integration/local/test_limits.py", timeout=240)) >= 8


@pytest.mark.long
def test_reserves_and_the_cap_hold_under_pressure(machine: Guest) -> None:
    """Memory and processors of who reserved, next to others who want everything; what all take together."""
    words = "kept_from_a_neighbour or reserved_processors or no_more_than_the_cap"
    assert passed(machine.pytest("tests/integration/local/test_profiles.py", "-k", words, timeout=240)) == 3


def test_a_kernel_that_cannot_merge_memory_is_told_apart(machine: Guest) -> None:
    """Debian 12 has Linux 6.1; a process asks for merging since 6.4."""
    code = "from pathlib import Path; from hubwright.machine import merging; merging.begin(Path('/root/record'))"
    said = machine.run(f'python -c "{code}" 2>&1 | tail -n 1')
    assert "needs Linux 6.4 with KSM" in said
    assert machine.get("/sys/kernel/mm/ksm/run") == "0\n"
