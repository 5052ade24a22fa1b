"""IPython's folder in a home where there is room; homes that are full are in integration/envs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubwright.engines.local import ipython_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("IPYTHONDIR", raising=False)
    return tmp_path


def test_what_ipython_makes_is_made_once(home):
    for _ in range(2):
        ipython_folder.find()
        assert {path.name for path in (home / ".ipython/profile_default").iterdir()} == {
            "log",
            "pid",
            "security",
            "startup",
        }
        assert "IPYTHONDIR" not in os.environ


def test_another_folder_that_is_named_is_left_to_ipython(home, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(home / "mine"))
    ipython_folder.find()
    assert list(home.iterdir()) == []
    assert os.environ["IPYTHONDIR"] == str(home / "mine")


def test_what_else_is_in_its_place_keeps_no_server_from_starting(home):
    (home / ".ipython").symlink_to(home / "none" / "such")
    ipython_folder.find()
    (home / ".ipython").unlink()
    (home / ".ipython").mkdir()
    (home / ".ipython/profile_default").touch()
    ipython_folder.find()
    assert "IPYTHONDIR" not in os.environ
