"""`hubwright logs`, run as a person runs it on the logs of a service that ran."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hubwright.engines.local.launch import log_path
from hubwright.machine.place import place

LONG = "x" * 250


@pytest.fixture
def folder(tmp_path):
    """Return where a service of whoever runs the tests may lie; root's not below pytest's folders, which are 0700."""
    if os.geteuid():
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir="/var/lib", prefix="hwt-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def logs(folder):
    """A state folder with logs in it, and the command on it."""
    site = place(":1", None, None, folder / "state")
    (site.logs / "users").mkdir(parents=True)
    (site.logs / "hub.log").write_text("of the hub\n")
    servers = [("ada", ""), ("ada", "second"), ("ada", "a/b"), ("ada", LONG)]
    for user, server in [*servers, ("ada.b", ""), ("ada.b", "second"), ("ada-b", ""), ("adam", "")]:
        log_path(site, user, server).write_text(f"of {user} {server}\n")

    def run(*args):
        argv = [sys.executable, "-m", "hubwright", "logs", *args, "--state", str(site.state)]
        return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60)

    run.users = site.logs / "users"
    return run


def lines(done):
    assert done.returncode == 0, done.stderr
    return {line for line in done.stdout.splitlines() if line.startswith("of ")}


def test_a_user_s_logs_are_hers_only(logs):
    assert lines(logs("ada")) == {"of ada ", "of ada second", "of ada a/b", f"of ada {LONG}"}
    assert lines(logs("ada.b")) == {"of ada.b ", "of ada.b second"}
    assert lines(logs("ada@second")) == {"of ada second"}


def test_parts_and_unknown_names(logs):
    assert lines(logs()) == lines(logs("hub")) == {"of the hub"}
    done = logs("adda")
    assert done.returncode == 77
    assert "Perhaps you meant" in done.stderr


def test_a_log_cannot_speak_to_the_terminal(logs):
    """What a server prints is its user's to choose, and a name that is typed at a login anybody's."""
    logs.users.joinpath("eve.log").write_bytes(b"of eve\x1b]52;c;cm0gLXJmIH4K\x07\x1b[2J\tend\xc2\x9b31m\n")
    done = logs("eve")
    assert done.stdout == "of eve?]52;c;cm0gLXJmIH4K??[2J  end?31m\n"
