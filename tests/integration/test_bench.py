"""The benchmarks run from end to end with two users, and leave no account behind."""

import csv
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import julia_here

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="the plain stack needs npm: apt-get install npm")


def measured(folder, *words):
    """Run a benchmark that writes into a folder; return the rows of each CSV there."""
    script, *more = words
    argv = [sys.executable, str(ROOT / "bench" / script), *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=380, env=env)
    assert done.returncode == 0, done.stderr
    return {path.stem: rows(path) for path in folder.glob("*.csv")}


def rows(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def accounts_left():
    return [entry.pw_name for entry in pwd.getpwall() if entry.pw_gecos == "hubwright benchmark"]


@needs_npm
def test_a_smoke_run_measures_both_sides(tmp_path):
    """Both sides' servers say the same of themselves, every user gets a result, and the accounts are gone."""
    found = measured(tmp_path, "run.py", "one", "many", "proxy", "--quick", "--out", str(tmp_path))
    for name in ("one", "many"):
        assert [row["side"] for row in found[name]].count("plain") == 2
        assert [row["side"] for row in found[name]].count("hubwright") == 2
        assert all(float(row["result"]) > 0 for row in found[name])
    proxy = (tmp_path / "proxy.csv").read_text()
    assert "websocket echo of 1 KiB" in proxy and "add a route" in proxy
    assert not accounts_left()


@needs_npm
@pytest.mark.alone  # zygotes of others would be counted, and may end meanwhile
def test_what_users_import_is_measured(tmp_path):
    """The time until the first cell has imported it, and the memory afterwards; the plain stack is started above."""
    words = ("--side", "hubwright", "--quick", "--out", str(tmp_path))
    found = measured(tmp_path, "run.py", "imports", "imported", *words)
    assert [row["side"] for row in found["imports"]] == ["hubwright"] * 2
    assert all(0 < float(row["cell"]) < float(row["kernel"]) for row in found["imports"])
    (row,) = found["imported"]
    assert (row["side"], row["count"]) == ("hubwright", "2") and float(row["per_user"]) > 0
    assert not accounts_left()


def test_julia_is_built_and_started_for_its_figures(tmp_path):
    """Without the image, whose build takes minutes."""
    julia_here.julia()
    words = ("--side", "packages", "--number", "1", "--out", str(tmp_path / "julia.csv"))
    found = measured(tmp_path, "julia.py", *words)["julia"]
    assert [row["measure"].partition(" ")[0] for row in found] == ["build", "a", "a"]
    assert all(float(row["packages"]) > 0 for row in found)
