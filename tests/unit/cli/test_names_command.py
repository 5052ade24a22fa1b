"""`hubwright names`, run as a person runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hubwright.auth.identities import Identities
from hubwright.auth.rule import Person
from hubwright.machine.accounts import ensure_system_account
from hubwright.machine.files import Owner
from hubwright.machine.place import place


@pytest.fixture
def site(tmp_path):
    """A service's place that root accepts, with its folder of secrets."""
    folder = Path(tempfile.mkdtemp(dir="/var/lib", prefix="hwt-")) if os.geteuid() == 0 else tmp_path
    folder.chmod(0o755)
    found = place(":1", None, None, folder / "state")
    found.secrets.mkdir(parents=True)
    yield found
    if os.geteuid() == 0:
        shutil.rmtree(folder)


def test_what_a_provider_says_of_somebody_is_shown_as_it_is(site):
    """Who chooses his own login or group there writes no markup, and nothing that a terminal obeys."""
    if site.privileged:
        ensure_system_account(site.account)
    owner = Owner.of(site.account) if site.privileged else None
    strange = Person("campus", "1", "[/x]eve@example.org", frozenset({"[red]", "a\x1b[2J"}))
    name = Identities(site.secrets, owner).claim(strange)
    argv = [sys.executable, "-m", "hubwright", "names", "list", "--state", str(site.state)]
    done = subprocess.run(
        argv, cwd=site.state, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(f" {name} "))
    assert "campus:[/x]eve@example.org" in line
    assert "[red], a?[2J" in line
