"""The benchmarks run from end to end with two users, on both sides, and leave no account behind."""

import csv
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "bench/run.py"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("npm") is None, reason="the plain stack needs npm: apt-get install npm"),
    pytest.mark.timeout(400),
]


def test_a_smoke_run_measures_both_sides(tmp_path):
    """Both sides' servers say the same of themselves, every user gets a result, and the accounts are gone."""
    argv = [sys.executable, str(RUN), "one", "many", "proxy", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stderr
    for name in ("one", "many"):
        lines = [line for line in (tmp_path / f"{name}.csv").read_text().splitlines() if not line.startswith("#")]
        rows = list(csv.DictReader(lines))
        assert [row["side"] for row in rows].count("plain") == 2
        assert [row["side"] for row in rows].count("hubwright") == 2
        assert all(float(row["result"]) > 0 for row in rows)
    proxy = (tmp_path / "proxy.csv").read_text()
    assert "websocket echo of 1 KiB" in proxy and "add a route" in proxy
    assert not [entry.pw_name for entry in pwd.getpwall() if entry.pw_gecos == "hubwright benchmark"]
