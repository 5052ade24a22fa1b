"""Run benchmarks, as root: python bench/run.py [one|many|memory|start|browser|proxy|torch|all]. One CSV each."""

from __future__ import annotations

import argparse
import compileall
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import httpx

import ours
import plain
import table
from measure import ALL, MORE, PATIENT, Plan, Row, say

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Measure what is asked for; 1 when a benchmark failed (the others still run)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["all"], choices=[*ALL, *MORE, "proxy", "all"])
    parser.add_argument("--quick", action="store_true", help="a smoke run with 2 users; its figures mean nothing")
    parser.add_argument("--side", choices=["both", "plain", "hubwright"], default="both")
    parser.add_argument("--out", type=Path, help="where the CSVs go (default: bench/, with --quick artifacts/bench/)")
    parser.add_argument("--number", type=int, help="repetitions or users, instead of the usual")
    parser.add_argument("--default-timeouts", action="store_true", help="many: leave JupyterHub's spawn timeouts")
    chosen = parser.parse_args()
    out = chosen.out or (HERE.parent / "artifacts/bench" if chosen.quick else HERE)
    names = [*ALL, "proxy"] if "all" in chosen.what else chosen.what

    # Users cannot write bytecode into the environment; without it the plain side would look worse than it is.
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        compileall.compile_dir(folder, quiet=2, workers=1)
    notes = table.machine(plain.versions() | ours.versions())
    failed = []
    for name in names:
        begin = time.monotonic()
        say(f"{name}: begins")
        try:
            if name == "proxy":
                _proxy(chosen.quick, out)
            else:
                rows = {**ALL, **MORE}[name](_plan(chosen, out))
                table.write(out / f"{name}.csv", notes | _remarks(name, rows, chosen), rows)
        except (RuntimeError, OSError, subprocess.SubprocessError, httpx.HTTPError) as error:
            failed.append(name)
            say(f"{name}: failed: {error}")
        else:
            say(f"{name}: done in {time.monotonic() - begin:.0f} s: {out / name}.csv")
    return 1 if failed else 0


def _plan(chosen: argparse.Namespace, out: Path) -> Plan:
    sides = ("plain", "hubwright") if chosen.side == "both" else (chosen.side,)
    logs = HERE.parent / "artifacts/bench/logs"
    if chosen.quick:
        return Plan(sides, one=2, many=2, memory=2, starts=1, visits=1, settle=2, deadline=120, logs=logs)
    if (number := chosen.number) is not None:
        return Plan(sides, number, number, number, number, number, logs=logs, default_timeouts=chosen.default_timeouts)
    return Plan(sides, logs=logs, default_timeouts=chosen.default_timeouts)


def _remarks(name: str, rows: list[Row], chosen: argparse.Namespace) -> dict[str, str]:
    remarks = {
        "torch": {"torch": table.version_of("torch")},
        "one": {"ready when": "the start request answers 201, or the progress stream says so; nothing is polled"},
    }
    if name in ("many", "memory", "imported") and not chosen.default_timeouts:
        remarks[name] = {"both sides": ", ".join(f"Spawner.{trait} = {value}" for trait, value in PATIENT.items())}
    if chosen.quick:
        return remarks.get(name, {}) | {"quick": "a smoke run; these figures mean nothing"}
    return remarks.get(name, {})


def _proxy(quick: bool, out: Path) -> None:
    argv = [sys.executable, str(HERE / "proxy.py"), *(["--quick"] if quick else []), "--out", str(out / "proxy.csv")]
    subprocess.run(argv, check=True, timeout=900)


if __name__ == "__main__":
    sys.exit(main())
