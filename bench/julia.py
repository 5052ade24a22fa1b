"""Julia with a system image against the same environment without one, both as they are built for a service.

As root, on a Debian for x86_64: PYTHONPATH=. python bench/julia.py [--out FILE]. Both are built of the small packages
of the tests, which takes minutes for the image; then they are started in turns, by the account without rights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import julia_here
from tests.environments import Lab

import table
from hubwright.envs import trying
from hubwright.fields import Site
from measure import say

HERE = Path(__file__).resolve().parent
ENTRY = """\
  {name}:
    {{kind: julia, julia: {julia}, packages: [./Greeting], registries: [./registry/Registry], pkg_server: ""{more}}}
"""
SIDES = {"packages": "", "image": ", sysimage: [Greeting], warm_up: ./warm_up.jl"}
CELL = "using Greeting; Greeting.think()"
"""Loads a package, and has it do what Julia takes a while to compile."""
BUILD = "build [s]"


def main() -> int:
    """Build both, measure, write the CSV; 1 when the image does not start faster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=11, help="starts a side, after one that is discarded")
    parser.add_argument("--side", choices=["both", *SIDES], default="both")
    parser.add_argument("--out", type=Path, default=HERE / "julia.csv")
    chosen = parser.parse_args()
    julia = julia_here.julia() / "usr"
    notes = table.machine({"julia": julia_here.VERSION})
    with tempfile.TemporaryDirectory(prefix="hwb-", dir="/var/lib") as place:
        lab = Lab(Path(place))
        lab.folder.chmod(0o755)
        julia_here.registry(lab.folder / "registry", "IJulia", "Words")
        shutil.copytree(julia_here.PACKAGES / "Greeting", lab.folder / "Greeting")
        (lab.folder / "warm_up.jl").write_text(CELL)
        lab.write("".join(ENTRY.format(name=name, julia=julia, more=more) for name, more in SIDES.items()))
        try:
            rows = measure(lab, list(SIDES) if chosen.side == "both" else [chosen.side], chosen.number)
        finally:
            shutil.rmtree(lab.site.environments, ignore_errors=True)
    table.write(chosen.out, notes, rows)
    compared = [row for row in rows if row["measure"] != BUILD and chosen.side == "both"]
    return 0 if all(row["image"] < row["packages"] for row in compared) else 1


def measure(lab: Lab, sides: list[str], number: int) -> list[dict[str, Any]]:
    """Return a row for what a build takes, and for each way to start: the median of `number`, sides alternating."""
    rows: list[dict[str, Any]] = [{"measure": BUILD, **{name: _timed(lab.build, name) for name in sides}}]
    say(f"built: {rows[0]}")
    for what, begin in (
        ("a program that loads a package and uses it [s]", _program),
        ("a kernel, from its start to the result of the same [s]", _kernel),
    ):
        took: dict[str, list[float]] = {name: [] for name in sides}
        with trying.account(site := lab.site):
            for _ in range(number + 1):
                for name, times in took.items():
                    times.append(_timed(begin, site, name))
        rows.append({"measure": what, **{name: statistics.median(times[1:]) for name, times in took.items()}})
        say(f"{rows[-1]}")
    return rows


def _timed(work: Callable[..., object], *words: Any) -> float:
    begin = time.monotonic()
    work(*words)
    return time.monotonic() - begin


def _program(site: Site, name: str) -> None:
    _run(site, str(site.environments / name / "current/bin/julia"), "-e", CELL)


def _kernel(site: Site, name: str) -> None:
    kernel = site.environments / name / "current/kernel"
    said = _run(site, sys.executable, "-I", "-m", "hubwright.envs.proving", str(kernel), CELL)
    if wrong := json.loads(said)["wrong"]:
        raise RuntimeError(wrong)


def _run(site: Site, *command: str) -> str:
    """Run a command as the account without rights, with an empty home; return what it prints."""
    who = trying.identity()
    with tempfile.TemporaryDirectory(prefix="hwb-") as home:
        trying.give(Path(home), site)
        env = {"HOME": home, "PATH": os.defpath, "LANG": "C.UTF-8", "JUPYTER_RUNTIME_DIR": home}
        done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=180, **who)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return str(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
