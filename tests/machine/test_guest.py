"""The guest itself: what the other tests of this folder rely on."""

from __future__ import annotations

from urllib.request import urlopen

import pytest
from tests.machine.guest import Failed, Guest

pytestmark = [pytest.mark.root, pytest.mark.long]


def test_a_guest_is_a_whole_machine_that_goes_back_and_restarts(guest: Guest) -> None:
    """systemd, control groups of version 2, this checkout; what was saved comes back; a restart keeps the disk."""
    assert guest.run("ps -o comm= 1").strip() == "systemd"
    assert {"cpu", "memory", "pids"} <= set(guest.get("/sys/fs/cgroup/cgroup.controllers").split())
    assert "Usage: hubwright check" in guest.run("hubwright check --help")
    guest.account("ada")
    assert guest.run("id -un", user="ada").strip() == "ada"
    with pytest.raises(Failed, match="No such file"):
        guest.get("/srv/later")
    guest.save("before")
    guest.put("/srv/later", "kept\n")
    guest.go_back("before")
    assert guest.code("test -e /srv/later") == 1
    guest.put("/srv/later", "kept\n")
    guest.reboot()
    assert guest.get("/srv/later") == "kept\n"
    guest.run("systemd-run --quiet --unit=pages python3 -m http.server --directory /srv 8000")
    guest.wait("curl -sf http://127.0.0.1:8000/later")
    with urlopen(f"http://127.0.0.1:{guest.forward(8000)}/later", timeout=60) as answer:
        assert answer.read() == b"kept\n"
