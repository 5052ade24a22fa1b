"""The folder with the hub's socket, which containers are given, lies where the hub's account may write."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hubwright.engines.docker.place import hub_folder, link_hub
from hubwright.errors import MachineError
from hubwright.fields import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    here = "127.0.0.1", 8000
    site = Site(None, tmp_path / "state", tmp_path, Path(sys.prefix), "x", False, here, "http://127.0.0.1:8000/")
    site.api_socket.touch()
    return site


def test_each_start_puts_its_own_socket_there(site: Site) -> None:
    for text in ("first", "second"):
        site.api_socket.unlink()
        site.api_socket.write_text(text)
        link_hub(site)
        assert [path.read_text() for path in hub_folder(site).iterdir()] == [text]
    assert hub_folder(site).stat().st_mode & 0o777 == 0o755


def test_a_link_in_its_place_opens_no_other_folder(site: Site, tmp_path: Path) -> None:
    """Root would make any folder of the machine readable for everybody, and put a socket into it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    hub_folder(site).symlink_to(closed)
    with pytest.raises(MachineError, match="is not a folder that can be used"):
        link_hub(site)
    assert closed.stat().st_mode & 0o777 == 0o700 and list(closed.iterdir()) == []
