"""How what became of contents looks on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from hubwright.errors import printable

_SAYS = {
    "new": "{place} is new",
    "update": "{place} is updated",
    "beside": "{path} stays as it is; the original is beside it: {place}",
    "remove": "{place} is removed",
    "edited": "{path} is edited, and stays",
    "deleted": "{path} was deleted, and stays away",
    "full": "{path} has too many copies beside it",
    "same": "{place} is there",
}


def step_lines(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each step."""
    lines = []
    for step in steps:
        text = _SAYS[step["what"]].format(place=step["place"], path=step["path"])
        lines.append(printable(f"{text} ({step['why']})" if step["why"] else text))
    return lines


def rows_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return who gets what: how many files of each sort."""
    table = Table("user", "content", "new", "updated", "beside", "edited", "deleted", "", box=None, header_style="bold")
    for row in rows:
        counts = row["counts"]
        numbers = [str(counts.get(what) or "-") for what in ("new", "update", "beside", "edited", "deleted")]
        wrong = "; ".join([row["error"]] * bool(row["error"]) + row["problems"])
        note = Text("at the first start: no home yet", "cyan") if row["waits"] else Text(printable(wrong), "yellow")
        table.add_row(row["user"], row["name"], *numbers, note)
    return table


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return ""
