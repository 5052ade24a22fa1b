"""An installed service on a machine as it comes: from nothing to a logged-in user, a boot, and away again."""

from __future__ import annotations

import sys

import pytest
from tests.machine.guest import ROOT, Guest

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(7200)]
INSIDE = "tests/machine/inside_service.py"


def inside(guest: Guest, which: str, timeout: float) -> None:
    """Run tests of inside_service.py in the guest; its output is in the failure."""
    scaled = f"HUBWRIGHT_TEST_SLOWNESS={guest.slowness:.1f}"
    words = f"{sys.prefix}/bin/python -m pytest -x -q -p no:cacheprovider --timeout=0 {INSIDE} -k '{which}'"
    guest.run(f"cd {ROOT} && {scaled} {words}", timeout)


def test_from_nothing_through_a_boot_and_away(guest: Guest) -> None:
    """Install, each unit alone, an upgrade, a boot, and away, as inside_service.py has it."""
    inside(guest, "not boot and not uninstall", 900)
    guest.reboot()
    inside(guest, "boot or uninstall", 200)
