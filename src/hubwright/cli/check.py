"""`hubwright check`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hubwright.care import checkup, login
from hubwright.cli import telling
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.errors import ConfigError, HubwrightError, Problem, Refused


def check(
    what: Annotated[str, typer.Argument(help="`login`, to look somebody up.", show_default=False)] = "",
    name: Annotated[str, typer.Argument(help="Whom; as he would type it.", show_default=False)] = "",
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether hub.yaml holds and whether this machine can run it.

    Looks at the file, ports, people, disk, versions and permissions, and asks the servers that people log in with;
    changes nothing. Leaves with 0 when nothing stands in the way, 78 when the file is wrong, 71 when the machine lacks
    something. `hubwright check login USER` shows what somebody would get, and leaves with 77 when that is nothing.

    [bold]Examples[/]

      hubwright check

      hubwright check --config /srv/notebooks/hub.yaml --json

      hubwright check login ada
    """
    if what:
        if what != "login" or not name:
            raise Refused('Besides the whole service only a login can be checked: "hubwright check login USER".')
        _check_login(name, config, state, as_json)
    code = 0
    name = "hub.yaml"
    try:
        loaded, site = resolve(config, state)
        name = str(loaded.path or "the defaults (there is no hub.yaml here)")
        problems: Sequence[Problem] = checkup.check(loaded, site)
        if not any(problem.severity == "error" for problem in problems):
            problems = [*problems, *login.reach(loaded, site)]
        code = 71 if any(problem.severity == "error" for problem in problems) else 0
    except ConfigError as error:
        problems, code, name = error.problems, error.exit_code, str(config or "hub.yaml")
    except HubwrightError as error:
        problems, code = [error.problem], error.exit_code
    if as_json:
        print(json.dumps({"ok": code == 0, "config": name, "problems": [asdict(item) for item in problems]}, indent=1))
    else:
        _print(name, problems, code)
    raise typer.Exit(code)


def _check_login(name: str, config: Path | None, state: Path | None, as_json: bool) -> NoReturn:
    loaded, site = resolve(config, state)
    found = login.outlooks(loaded, site, name)
    allowed = any(one.allowed for one in found.values())
    if as_json:
        plain = {way: asdict(one) for way, one in found.items()}
        print(json.dumps(next(iter(plain.values())) if len(plain) == 1 else {"ways": plain}, indent=1))
    else:
        for way, one in found.items():
            by = f" by {way}" if len(found) > 1 else ""
            verdict = f"may log in{by}" if one.allowed else f"may not log in{by}"
            lines = [f"{name} {verdict}{' and is an admin' if one.allowed and one.admin else ''}."]
            lines += [f"Unix name: {one.name}"] * bool(one.name)
            lines += [f"Groups: {', '.join(one.groups)}"] * bool(one.groups)
            print("\n".join([*lines, *filter(None, (one.account, one.why))]))
    raise typer.Exit(0 if allowed else Refused.exit_code)


def _print(name: str, problems: Sequence[Problem], code: int) -> None:
    console = Console(highlight=False)
    if problems:
        console.print(telling.table(problems))
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    counts = [f"{n} {word}{'s' * (n > 1)}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    verdict = "[bold red]cannot run" if code else "[bold green]can run"
    console.print(f"{verdict}[/] with {name}{': ' + ', '.join(counts) if counts else ''}.", soft_wrap=True)
