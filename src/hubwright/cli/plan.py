"""`hubwright plan`, and how a plan and what became of it look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hubwright.care.people import apply as people
from hubwright.care.people.step import Plan, Step
from hubwright.cli import telling
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve

MARKS = {"add": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}


def plan(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show what `hubwright apply` would change: accounts, homes, groups, shared folders, and who may enter.

    Looks only. Leaves with 0 when everything is as the roster says, 2 when something would change, 77 when somebody
    of the roster cannot be served, 78 when the roster has mistakes.

    [bold]Examples[/]

      sudo hubwright plan

      sudo hubwright plan --json
    """
    found = people.plan(*resolve(config, state))
    if as_json:
        print(json.dumps(plain(found), indent=1))
    else:
        show(found)
    raise typer.Exit(77 if found.problems else 2 if found.steps else 0)


def plain(found: Plan) -> dict[str, object]:
    """Return a plan such as JSON holds it."""
    return {
        "steps": [step.plain() for step in found.steps],
        "problems": [asdict(problem) for problem in found.problems],
        "notes": list(found.notes),
        "leaving": list(found.leaving),
        "https": found.encryption.plain() if found.encryption else None,
    }


def show(found: Plan) -> None:
    """Print a plan."""
    console = Console(highlight=False)
    if found.steps:
        console.print(table(found.steps))
    remarks(console, found)
    if found.encryption:
        console.print(str(found.encryption), soft_wrap=True)
    console.print(summary(found.steps) if found.steps else "[bold green]Nothing to do.", soft_wrap=True)


def remarks(console: Console, found: Plan) -> None:
    """Print what keeps people out, and what is worth knowing."""
    if found.problems:
        console.print(telling.table(found.problems))
    for note in found.notes:
        console.print(Text(note, "cyan"), soft_wrap=True)


def table(steps: Sequence[Step]) -> Table:
    """Return steps as a table."""
    rows = Table("", "what", "whose", "", box=None, header_style="bold", pad_edge=False)
    for step in steps:
        mark, style = MARKS[step.change]
        rows.add_row(Text(mark, f"bold {style}"), Text(step.what, style), Text(step.name, "bold"), Text(step.text))
    return rows


def summary(steps: Sequence[Step]) -> str:
    """Return `2 to add, 1 to remove.`"""
    counts = {change: sum(step.change == change for step in steps) for change in MARKS}
    return ", ".join(f"{count} to {change}" for change, count in counts.items() if count) + "."
