"""The state folder's disk is full: running notebooks go on, the trouble is told, and room alone mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account, wait_until
from tests.running import Service, port

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
"""


def fill(folder: Path) -> Path:
    """Write until nothing more fits; return what to remove again."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def test_a_full_disk_ends_no_notebook_and_heals(small: Path, account: Callable[..., Account]) -> None:
    number = port()
    running = Service(small, YAML.replace("{port}", str(number)), number)
    first, second = account().name, account().name
    try:
        running.up()
        kernel = running.start(first).kernel()
        kernel.run("kept = 'here'")
        running.add_user(second)
        ballast = fill(small)
        assert kernel.run("kept") == "'here'"
        refused = running.api("POST", f"/users/{second}/server", {})
        assert refused.status_code >= 400
        done = running.cli("status", check=False)
        assert "Traceback" not in done.stdout + done.stderr
        assert kernel.run("kept") == "'here'"
        ballast.unlink()
        wait_until(lambda: running.api("GET", "/").status_code == 200, 30)
        wait_until(lambda: running.api("GET", f"/users/{second}").status_code == 200, 60)
        assert running.start(second).kernel().run("1 + 1") == "2"
        assert kernel.run("kept") == "'here'"
        assert running.server(first).get("ready")
    finally:
        running.clean()


def test_up_on_a_full_disk_says_so(small: Path) -> None:
    number = port()
    running = Service(small, YAML.replace("{port}", str(number)), number)
    (small / "hub.yaml").write_text(running.yaml)
    fill(small)
    try:
        done = running.cli("up", check=False)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert "full" in done.stderr or "No space left" in done.stderr, done.stderr
    finally:
        shutil.rmtree(running.run, ignore_errors=True)
