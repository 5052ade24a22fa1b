"""The CSV of one benchmark: comment lines that name the machine, then a header and rows."""

from __future__ import annotations

import csv
import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("hubwright", "jupyterhub", "jupyterlab", "jupyter-server", "ipykernel", "jupyter-client", "tornado")


def machine(more: dict[str, str]) -> dict[str, str]:
    """Name the machine and the versions that a figure belongs to."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")]
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    versions = {"python": platform.python_version()} | {name: version_of(name) for name in _PACKAGES} | more
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory.split()[1]) / 2**20:.1f} GiB",
        "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def write(path: Path, notes: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Write rows (all with the keys of the first; floats to 4 decimals) below the notes, by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in notes.items())
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _text(value) for key, value in row.items()} for row in rows)
    part.rename(path)


def read(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return the notes and the rows of a file written by `write`."""
    lines = path.read_text().splitlines()
    notes = dict(_note(line) for line in lines if line.startswith("#"))
    return notes, list(csv.DictReader(line for line in lines if not line.startswith("#")))


def column(rows: Iterable[dict[str, str]], side: str, name: str, **where: str) -> list[float]:
    """Return one side's numbers of a column, without the empty ones."""
    chosen = (row for row in rows if row["side"] == side and all(row[key] == value for key, value in where.items()))
    return [float(row[name]) for row in chosen if row[name]]


def _note(line: str) -> tuple[str, str]:
    key, _, value = line[1:].partition(":")
    return key.strip(), value.strip()


def _text(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def version_of(name: str) -> str:
    """Return the version of a package that is installed here, or a dash."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"
