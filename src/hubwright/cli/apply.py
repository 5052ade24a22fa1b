"""`hubwright apply`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hubwright.care.people import apply as people
from hubwright.care.people.apply import Result
from hubwright.care.people.step import Plan
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.cli.plan import MARKS, plain, remarks
from hubwright.errors import Refused, printable


def apply(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before people are taken out.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring accounts, homes, groups and who may enter into step with the roster.

    As often as you like: what is right already is left alone, and what failed the last time is tried again. With
    `first_use` it prints a one-time link for everybody new. Leaves with 1 when something failed.

    [bold]Examples[/]

      sudo hubwright apply

      sudo hubwright apply --yes --json
    """
    loaded, site = resolve(config, state)
    console = Console(highlight=False)

    def begin(found: Plan) -> None:
        if not found.leaving or yes:
            return
        names = ", ".join(found.leaving)
        if as_json:
            raise Refused(f"This takes out {names}.", remedy="Say --yes if that is meant.")
        files = " Homes are archived, then removed." if any(step.what == "files" for step in found.steps) else ""
        many = " That is a large part of all people." if found.many else ""
        typer.confirm(f"Take out {names}?{files}{many}", abort=True, err=True)

    def tell(result: Result) -> None:
        if not as_json:
            _tell(console, result)

    found, results = people.apply(loaded, site, begin, tell)
    failed = [result for result in results if result.error]
    if as_json:
        print(json.dumps({**plain(found), "steps": [result.plain() for result in results]}, indent=1))
    else:
        remarks(console, found)
        done = f"{len(results) - len(failed)} done" + f", [bold red]{len(failed)} failed" * bool(failed)
        console.print(f"{done}." if results else "[bold green]Nothing to do.", soft_wrap=True)
    raise typer.Exit(1 if failed else 77 if found.problems else 0)


def _tell(console: Console, result: Result) -> None:
    mark, style = MARKS[result.step.change]
    if result.error:
        mark, style = "!", "red"
    name, text = printable(result.step.name), printable(result.step.text)
    line = Text.assemble((f"{mark} {result.step.what} ", style), (name, "bold"), f": {text}")
    if more := result.error or result.told:
        line.append("\n    " + printable(more, "\n    "), "red" if result.error else "cyan")
    console.print(line, soft_wrap=True)
