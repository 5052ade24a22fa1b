"""What is answered from before the fork is what jupyter_server would answer."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_server.services.nbconvert.handlers import NbconvertRootHandler
from tests.conftest import Account
from tests.running import Service

from hubwright.engines.local.answers import Exporters

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


def test_exporters_are_those_that_jupyter_server_finds(running: Service, account: Callable[..., Account]) -> None:
    notebook = running.start(account().name)
    assert notebook.ask("GET", "api/nbconvert").json() == asyncio.run(_found_by_jupyter_server())
    assert notebook.ask("GET", "api/nbconvert", token="x" * 32).status_code == 403


@pytest.mark.parametrize("closed", [".local", ".local/share/jupyter"])
def test_folders_of_roots_in_a_home_keep_nothing_from_coming(
    running: Service, account: Callable[..., Account], closed: str
) -> None:
    """As `sudo -E jupyter` and `sudo python3 -m venv` leave them."""
    person = account()
    (person.home / "mine/bin").mkdir(parents=True, mode=0o700)
    (person.home / "mine").chmod(0o755)
    (person.home / "mine/pyvenv.cfg").touch()
    folder = person.home / closed
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    if closed != ".local":
        subprocess.run(["chown", f"{person.uid}:{person.gid}", person.home / ".local", folder.parent], check=True)
    notebook = running.start(person.name)
    asked = [
        notebook.ask("GET", path) for path in ("lab", "lab/api/settings", "lab/api/workspaces/default", "api/contents")
    ]
    assert [answer.status_code for answer in asked] == [200] * len(asked), [answer.text[:300] for answer in asked]
    specs = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    assert specs["own-mine"]["spec"]["display_name"].endswith("mine/bin/python cannot be read (Permission denied)")
    assert notebook.kernel().run("6 * 7") == "42"


def test_what_a_user_has_of_his_own_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporters = Exporters()
    assert not exporters.known({})
    exporters.prepare()
    assert exporters.known({"ServerApp": {}})
    assert not exporters.known({"HTMLExporter": {"enabled": False}})
    (tmp_path / "shout-1.dist-info").mkdir()
    (tmp_path / "shout-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: shout\nVersion: 1\n")
    (tmp_path / "shout-1.dist-info/entry_points.txt").write_text("[nbconvert.exporters]\nshout = shout:Shout\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert not exporters.known({})


async def _found_by_jupyter_server() -> dict[str, object]:
    written: list[str] = []

    class Handler:
        _exporter_lock = asyncio.Lock()
        finish = written.append

    await NbconvertRootHandler.get.__wrapped__.__wrapped__(Handler())
    found: dict[str, object] = json.loads(written[0])
    return found
