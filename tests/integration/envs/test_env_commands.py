"""`hubwright env` where it cannot do what it is asked: it says so in words, and changes nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account
from tests.environments import Lab

pytestmark = [pytest.mark.root, pytest.mark.timeout(200)]
ENTRY = "  lab: {kind: uv, packages: [six]}"
COMMANDS = (["list"], ["show", "lab"], ["build"], ["add", "lab", "six"], ["remove", "lab", "--yes"], ["lock", "lab"])


def by(who: Account, command: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody."""
    env = {"HOME": str(who.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "200", **variables}
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        user=who.uid,
        group=who.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", [*COMMANDS, ["rollback", "lab"], ["clean"]])
@pytest.mark.parametrize("started", [True, False])
def test_environments_of_roots_are_refused_to_others(
    folder: Path, account: Callable[..., Account], words: list[str], started: bool
) -> None:
    lab = Lab(folder).write(ENTRY)
    if started:
        (folder / ".hubwright").mkdir(mode=0o700)
    done = by(account(), lab.command(*words), Path("/"))
    assert done.returncode == 77, done.stdout + done.stderr
    assert done.stderr == "error: Shared environments are root's.\n  Run it as root: sudo hubwright env ...\n"


@pytest.mark.parametrize("words", COMMANDS[:3])
def test_in_ones_server_there_is_told_what_one_has(
    folder: Path, account: Callable[..., Account], words: list[str]
) -> None:
    somebody = account()
    inside = {"JUPYTERHUB_API_URL": "http+unix://%2frun%2fapi.sock:80/hub/api", "JUPYTERHUB_API_TOKEN": "of-the-server"}
    done = by(somebody, [Lab(folder).command()[0], "env", *words], somebody.home, **inside)
    assert done.returncode == 77, done.stdout + done.stderr
    assert "Shared environments are the administrator's" in done.stderr
    assert "jupyter kernelspec list" in done.stderr
    assert not (somebody.home / ".hubwright").exists()
