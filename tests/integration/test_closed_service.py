"""What only root may know of its service: every command says so in words to whoever else gives it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Account

pytestmark = pytest.mark.root
HUBWRIGHT = str(Path(sys.prefix) / "bin" / "hubwright")


@pytest.fixture(scope="module")
def service() -> Iterator[Path]:
    """The folder of a service of root's that has been started once."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    folder.chmod(0o755)
    (folder / "hub.yaml").write_text("content: {course: {folder: course}}\n")
    (folder / "course").mkdir()
    (folder / ".hubwright").mkdir(mode=0o700)
    (folder / ".hubwright" / "secrets").mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "logs",
        "token ada",
        "names list",
        "names forget ada",
        "user list",
        "content list",
        "content push",
        "env list",
    ],
)
def test_it_is_roots(service: Path, ada: Account, words: str) -> None:
    done = ada.run([HUBWRIGHT, *words.split()], service)
    assert done.returncode == 77, done.stdout + done.stderr
    assert "sudo" in done.stderr
    assert len(done.stderr.splitlines()) == 2, "what it is, and what to do"


@pytest.mark.parametrize("words", ["content push", "content show course"])
def test_in_ones_server_there_is_told_what_one_gets(ada: Account, words: str) -> None:
    inside = {"JUPYTERHUB_API_URL": "http+unix://%2frun%2fapi.sock:80/hub/api", "JUPYTERHUB_API_TOKEN": "of-the-server"}
    done = ada.run([HUBWRIGHT, *words.split()], ada.home, **inside)
    assert done.returncode == 77, done.stdout + done.stderr
    assert '"hubwright content list"' in done.stderr
    assert not (ada.home / ".hubwright").exists()
