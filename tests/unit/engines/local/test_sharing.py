"""Which pages of JupyterLab take their extensions from the shared address."""

import json
from pathlib import Path
from typing import Any

import pytest

from hubwright.engines.local import sharing
from hubwright.engines.local.sharing import Sharing

STATIC = "/j/hubwright/lab/0123456789abcdef"
OURS = {"name": "hubwright", "load": "static/remoteEntry.js"}
THEIRS = {"name": "@org/one", "load": "static/remoteEntry.1.js"}


def _extension(folder: Path, name: str, load: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "package.json").write_text(
        json.dumps({"name": name, "version": "1", "jupyterlab": {"_build": {"load": load}}})
    )
    return folder / name


@pytest.fixture
def shared(tmp_path: Path) -> Sharing:
    found = Sharing()
    found.environment = str(tmp_path / "environment")
    _extension(tmp_path / "environment", **THEIRS)
    found.prepare()
    return found


def _page(*extensions: dict[str, str], static: str = STATIC) -> dict[str, Any]:
    return {"fullStaticUrl": static, "fullLabextensionsUrl": "/user/a/ext", "federated_extensions": [*extensions]}


def test_what_the_service_started_with_is_shared(shared: Sharing, tmp_path: Path) -> None:
    folders = [str(tmp_path / "home"), shared.environment]
    placed = shared.place(_page(OURS, THEIRS), folders)
    assert placed == _page(OURS, THEIRS) | {"fullLabextensionsUrl": f"{STATIC}/extensions"}


def test_with_an_extension_of_one_s_own_all_come_from_one_s_server(shared: Sharing, tmp_path: Path) -> None:
    folders = [str(tmp_path / "home"), shared.environment]
    for page in (_page(OURS, THEIRS, {"name": "mine", "load": "a.js"}), _page(THEIRS | {"load": "b.js"})):
        assert shared.place(page, folders) == page
    _extension(tmp_path / "home", **THEIRS)  # as the service's, by its words, and perhaps with another content
    assert shared.place(_page(OURS, THEIRS), folders) == _page(OURS, THEIRS)
    assert shared.place(_page(OURS, THEIRS), folders[::-1]) != _page(OURS, THEIRS)


def test_a_name_that_the_system_refuses_hides_nothing(shared: Sharing, tmp_path: Path) -> None:
    """As it refuses a folder of root's in somebody's home; the tests' root is refused only what is too long."""
    folders = [str(tmp_path / ("x" * 300)), shared.environment]
    assert shared.place(_page(THEIRS), folders)["fullLabextensionsUrl"] == f"{STATIC}/extensions"


def test_a_server_that_serves_jupyterlab_itself_serves_its_extensions(shared: Sharing) -> None:
    page = _page(OURS, static="/user/a/static/lab")
    assert shared.place(page, [shared.environment]) == page


def test_an_extension_that_is_only_linked_is_not_shared(tmp_path: Path) -> None:
    _extension(tmp_path / "source", **THEIRS)
    (tmp_path / "environment/@org").mkdir(parents=True)
    (tmp_path / "environment/@org/one").symlink_to(tmp_path / "source/@org/one")
    found = Sharing()
    found.environment = str(tmp_path / "environment")
    found.prepare()
    assert [name for name, _ in found.known] == ["hubwright"]


def test_another_hook_is_asked_first(shared: Sharing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARING", shared)  # a fork server has one, of its own environment

    class Handler:
        class extensionapp:
            labextensions_path = (shared.environment,)

    settings: dict[str, Any] = {"page_config_hook": lambda handler, page: page | {"more": 1}}
    sharing.install(settings)
    assert settings["page_config_hook"](Handler(), _page(THEIRS)) == _page(THEIRS) | {
        "more": 1,
        "fullLabextensionsUrl": f"{STATIC}/extensions",
    }
