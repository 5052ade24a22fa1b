"""JupyterLab's settings from schemas that were read before, beside what jupyterlab_server makes of the same files."""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from jupyterlab_server.settings_utils import get_settings
from jupyterlab_server.translation_utils import translator
from tests.conftest import an_ordinary_user

from hubwright.engines.local.lab_settings import Schemas

THEME = "@jupyterlab/apputils-extension/themes.jupyterlab-settings"


@pytest.fixture(scope="module")
def known() -> Schemas:
    found = Schemas(Path(sys.prefix))
    found.prepare("en")
    return found


def _theirs(known: Schemas, folder: Path) -> tuple[Any, list[str]]:
    answer, warnings = get_settings(
        known.application,
        known.schemas,
        str(folder),
        overrides=known.overrides,
        labextensions_path=known.extensions,
        translator=translator.translate_schema,
    )
    return answer, [one for one in warnings if one]


@pytest.mark.parametrize(
    "text", [None, '{"theme": "JupyterLab Dark"} // mine', '{"theme": 7}'], ids=["none", "changed", "wrong"]
)
def test_the_answer_is_jupyterlab_server_s(known: Schemas, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / THEME).parent.mkdir(parents=True)
        (tmp_path / THEME).write_text(text)
        (tmp_path / "gone:plugin.jupyterlab-settings").write_text("{}")
    ours, told = known.answer(tmp_path)
    theirs, warnings = _theirs(known, tmp_path)
    assert len(theirs["settings"]) > 40 and ours == json.dumps(theirs)
    assert told == warnings and len(warnings) == (text == '{"theme": 7}')


def test_a_file_that_cannot_be_read_fails_as_it_does_there(known: Schemas, tmp_path: Path) -> None:
    (tmp_path / THEME).parent.mkdir(parents=True)
    (tmp_path / THEME).write_text("{")
    failures = []
    for ask in (known.answer, lambda folder: _theirs(known, folder)):
        with pytest.raises(Exception, match="Failed loading settings") as failed:
            ask(tmp_path)
        failures.append(str(failed.value))
    assert failures[0] == failures[1]


def test_other_schemas_are_not_these(tmp_path: Path) -> None:
    lab = tmp_path / "share/jupyter/lab"
    shutil.copytree(Path(sys.prefix) / "share/jupyter/lab/schemas", lab / "schemas")
    known = Schemas(tmp_path)
    assert not known.hold(known.schemas, {}, known.extensions)
    known.prepare("en")
    assert known.hold(known.schemas, known.overrides, [str(tmp_path / "home"), *known.extensions])
    assert not known.hold(known.schemas, {**known.overrides, "a:b": {"c": 1}}, known.extensions)
    assert not known.hold(str(tmp_path), known.overrides, known.extensions)
    (tmp_path / "home/mine/schemas").mkdir(parents=True)
    assert not known.hold(known.schemas, known.overrides, [str(tmp_path / "home"), *known.extensions])
    (lab / "schemas/@other").mkdir()
    assert not known.hold(known.schemas, known.overrides, known.extensions)


def test_folders_that_their_owner_may_not_read_hold_nothing(known: Schemas) -> None:
    """As `sudo -E jupyter` leaves them. Asked by an ordinary user."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-"))
    folder.chmod(0)
    try:
        with an_ordinary_user():
            held = known.hold(known.schemas, known.overrides, [str(folder / "labextensions"), *known.extensions])
            answer, told = known.answer(folder / "user-settings")
    finally:
        folder.rmdir()
    assert held
    assert len(json.loads(answer)["settings"]) > 40 and not told
