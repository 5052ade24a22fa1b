"""Words of unit files, and the socket on which a unit tells how it is."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hubwright.errors import NotRunning
from hubwright.machine import systemd


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/opt/env/bin/python", "/opt/env/bin/python"),
        ("two words", '"two words"'),
        ('a "b" \\c', '"a \\"b\\" \\\\c"'),
        ("100%", '"100%%"'),
        ("", '""'),
    ],
)
def test_a_word_stays_one_word(text: str, written: str) -> None:
    assert systemd.word(text) == written


def test_systemd_replaces_no_variable_of_a_command() -> None:
    assert systemd.command(["/bin/sh", "-c", "echo $$ $HOME"]) == '/bin/sh -c "echo $$$$ $$HOME"'


def test_a_unit_file_has_its_sections_in_order() -> None:
    text = systemd.unit_file({"Unit": [("Description", "x")], "Service": [("A", "1"), ("A", "2")]}, note="by us")
    assert text == "# by us\n\n[Unit]\nDescription=x\n\n[Service]\nA=1\nA=2\n"


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(place))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        systemd.notify("READY=1")
        assert listener.recv(100) == b"READY=1"
    place.unlink()
    with pytest.raises(NotRunning, match="does not listen"):
        systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")
