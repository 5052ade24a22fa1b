"""`hubwright logs`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from hubwright.care.ground import log_folders
from hubwright.care.log import follow, last_lines
from hubwright.care.units.installed import MAIN, installed
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.errors import NotRunning, Refused, perhaps, printable
from hubwright.fields import Site
from hubwright.machine.systemd import UNITS


def logs(
    name: Annotated[str, typer.Argument(help="A user, USER@SERVER, or a part such as hub or caddy.")] = "",
    follow_: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing what is added, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines of each log.")] = 20,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print the ends of the logs: of every part, or of one part, or of a user's servers.

    The parts of an installed service write to the journal; they are read from there.

    [bold]Examples[/]

      hubwright logs

      hubwright logs hub --follow

      hubwright logs alice -n 100
    """
    _, site = resolve(config, state)
    there = installed()
    if there and there.state == site.state and (units := _units(name)):
        raise typer.Exit(_journal(units, lines, follow_))
    paths = _find(site, name)
    for path in paths:
        if len(paths) > 1:
            print(f"==> {path} <==")
        for line in last_lines(path, lines):
            print(shown(line))
        if len(paths) > 1 and not follow_:
            print()
    if follow_:
        _follow(paths)


def _units(name: str) -> list[str]:
    """The units that `name` stands for: all, or that of a part; none for a user's name."""
    parts = {path.stem.removeprefix("hubwright-"): path.name for path in UNITS.glob("hubwright-*.service")}
    if not name:
        return [MAIN, *sorted(parts.values())]
    return [parts[name]] if name in parts else []


def _journal(units: list[str], lines: int, follow_: bool) -> int:
    words = ["journalctl", "--no-pager", "--quiet", f"--lines={lines}", *(["--follow"] if follow_ else [])]
    try:
        return subprocess.call([*words, *(f"--unit={unit}" for unit in units)])
    except KeyboardInterrupt:
        return 0


def _find(site: Site, name: str) -> list[Path]:
    """The logs that `name` stands for; a user's are `USER.log` and `USER@SERVER.log`, and no user's name has an @."""
    parts_folder, users_folder = log_folders(site)
    try:
        parts = {path.stem: path for path in sorted(parts_folder.glob("*.log"))}
        users = {path.stem: path for path in sorted(users_folder.glob("*.log"))}
        if not parts and not parts_folder.exists():
            raise NotRunning(
                "No service has run here yet.", where=str(parts_folder), remedy='Start it: "hubwright up".'
            )
        list(parts_folder.iterdir())
    except PermissionError:
        raise Refused(
            "Only whoever runs this service may read its logs.", where=str(parts_folder), remedy="Use sudo."
        ) from None
    if not name:
        return list(parts.values())
    if name in parts:
        return [parts[name]]
    if found := [path for stem, path in users.items() if stem == name or stem.startswith(f"{name}@")]:
        return found
    raise Refused(
        f'There is no log of "{name}".', remedy=perhaps(name, [*parts, *users]) or f"There is: {_list(parts)}."
    )


def shown(text: str) -> str:
    """Return what a log says without what a terminal would obey: anybody can have something written there."""
    return printable(text.expandtabs(), "\n")


def _list(names: dict[str, Path]) -> str:
    return ", ".join(names) or "none"


def _follow(paths: list[Path]) -> None:
    followed = [follow(path) for path in paths]
    try:
        while True:
            for one in followed:
                sys.stdout.write(shown(next(one).replace("\r\n", "\n")))
            sys.stdout.flush()
            time.sleep(0.3)
    except (KeyboardInterrupt, BrokenPipeError):
        raise typer.Exit(0) from None
