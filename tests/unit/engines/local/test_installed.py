"""Entry points that were read before."""

from importlib import metadata
from pathlib import Path

import pytest

from hubwright.engines.local.installed import Installed


def test_they_are_those_of_python_until_something_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    known = Installed()
    known.prepare()
    found = {*known.entry_points(group="nbconvert.exporters")}
    assert len(found) > 5 and found == {*metadata.entry_points(group="nbconvert.exporters")}
    monkeypatch.setattr(metadata, "entry_points", lambda **wanted: [wanted])
    assert known.entry_points(group="a") != [{"group": "a"}]

    (tmp_path / "new-1.dist-info").mkdir()
    assert known.entry_points(group="a") == [{"group": "a"}]


def test_without_being_prepared_python_is_asked() -> None:
    assert {*Installed().entry_points(group="console_scripts")} == {*metadata.entry_points(group="console_scripts")}
