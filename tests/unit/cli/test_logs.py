"""`hubwright logs`, run as a person runs it on the logs of a service that ran."""

import subprocess
import sys

import pytest


@pytest.fixture
def logs(tmp_path):
    """A folder that is a state folder for whoever runs the tests, and the command on it."""
    folder = tmp_path / "state" / "logs"
    (folder / "users").mkdir(parents=True)
    (folder / "hub.log").write_text("of the hub\n")
    for name in ("ada", "ada@second", "ada@a%2Fb", "ada.b", "ada.b@second", "ada-b", "adam"):
        (folder / "users" / f"{name}.log").write_text(f"of {name}\n")

    def run(*args):
        code = (
            "import sys; from hubwright.machine import place; place._is_safe = lambda _: True; "
            "from hubwright.cli import main; sys.exit(main())"
        )
        argv = [sys.executable, "-c", code, "logs", *args, "--state", str(tmp_path / "state")]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


def lines(done):
    assert done.returncode == 0, done.stderr
    return {line for line in done.stdout.splitlines() if line.startswith("of ")}


def test_a_user_s_logs_are_hers_only(logs):
    assert lines(logs("ada")) == {"of ada", "of ada@second", "of ada@a%2Fb"}
    assert lines(logs("ada.b")) == {"of ada.b", "of ada.b@second"}
    assert lines(logs("ada@second")) == {"of ada@second"}


def test_parts_and_unknown_names(logs):
    assert lines(logs()) == lines(logs("hub")) == {"of the hub"}
    done = logs("adda")
    assert done.returncode == 77
    assert "Perhaps you meant" in done.stderr
