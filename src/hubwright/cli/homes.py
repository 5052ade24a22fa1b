"""`hubwright homes`: archive, restore, list."""

from __future__ import annotations

import grp
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.errors import HubwrightError, Refused, printable
from hubwright.fields import Site
from hubwright.machine.accounts import USERS_GROUP
from hubwright.machine.policy import find_account
from hubwright.people import archive as archives
from hubwright.people.ids import Ids

app = typer.Typer(
    help="Archive people's homes, restore them, list them.", no_args_is_help=True, rich_markup_mode="rich"
)


@app.command()
def archive(
    names: Annotated[list[str] | None, typer.Argument(help="User names.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everybody of this service who has a home.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pack homes into archives, one a person, in `archive/` of the state folder; nothing is removed.

    It reads with each person's own rights, follows no links, and stays on the home's file system.

    [bold]Examples[/]

      sudo hubwright homes archive ada grace

      sudo hubwright homes archive --all
    """
    site = _site(config, state)
    wanted = list(dict.fromkeys(_everybody(config, site) if all_ else names or ()))
    if not wanted:
        raise Refused("Nobody is named.", remedy="Name people, or say --all.")
    rows = []
    with _Progress(as_json) as progress:
        for name in wanted:
            try:
                done = archives.create(_account(name), site.state, progress.tell)
                rows.append({"name": name, "archive": str(done.path), **_plain(done), "error": ""})
            except HubwrightError as error:
                rows.append({"name": name, "error": str(error)})
    _print(rows, as_json)


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help="Whose home.", show_default=False)],
    source: Annotated[
        Path | None, typer.Option("--from", help="An archive.", show_default="the newest of that person")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an archive into a new folder of the person's home, `restored-DATE`; what is there stays as it is.

    [bold]Examples[/]

      sudo hubwright homes restore ada
    """
    site = _site(config, state)
    known = archives.found(site.state)
    mine = [one for one in known if (one.user == name if source is None else one.path.name == source.name)]
    if not mine:
        raise Refused(f"There is no archive of {name}.", remedy='See "hubwright homes list".')
    with _Progress(as_json) as progress:
        done = archives.restore(_account(name), mine[0], progress.tell)
    _print([{"name": name, "folder": str(done.path), **_plain(done), "error": ""}], as_json)


@app.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the archives, the newest first.

    [bold]Examples[/]

      sudo hubwright homes list --json
    """
    found = archives.found(_site(config, state).state)
    if as_json:
        rows = [
            {"name": one.user, "made": one.made.isoformat(), "path": str(one.path), "bytes": one.size} for one in found
        ]
        print(json.dumps(rows, indent=1))
        return
    table = Table("name", "made", "size", "archive", box=None, header_style="bold")
    for one in found:
        table.add_row(one.user, f"{one.made:%Y-%m-%d %H:%M}", _size(one.size), str(one.path))
    Console(highlight=False).print(table if found else "No home is archived.")


class _Progress:
    """One line that is rewritten, where the output is a terminal."""

    def __init__(self, silent: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status = None if silent or not self._console.is_terminal else self._console.status("")

    def __enter__(self) -> _Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *reason: object) -> None:
        if self._status:
            self._status.stop()

    def tell(self, name: str, told: dict[str, Any]) -> None:
        if self._status and "entries" in told:
            self._status.update(f"{name}: {told['entries']} files, {_size(told['bytes'])}")


def _site(config: Path | None, state: Path | None) -> Site:
    site = resolve(config, state)[1]
    if os.geteuid() != 0:
        raise Refused("Homes of others are root's to pack.", remedy="Run it as root: sudo hubwright homes ...")
    if not site.state.is_dir():
        raise Refused(f"There is no service in {site.state} yet.", remedy='Start it once: "hubwright up".')
    return site


def _everybody(config: Path | None, site: Site) -> list[str]:
    """Return everybody whom root let in and who has a home."""
    table = Ids(site.state / "people", resolve(config, site.state)[0].hub.people.ids).read()
    try:
        members = grp.getgrnam(USERS_GROUP).gr_mem
    except KeyError:
        members = []
    accounts = (find_account(name) for name in sorted({*table.users, *members}))
    return [one.pw_name for one in accounts if one is not None and Path(one.pw_dir).is_dir()]


def _account(name: str) -> Any:
    entry = find_account(name)
    if entry is None:
        raise Refused(f'This machine has no account "{name}".', remedy=f'Make it: "hubwright user add {name}".')
    return entry


def _plain(done: archives.Done) -> dict[str, Any]:
    return {"files": done.entries, "bytes": done.bytes, "lost": list(done.lost), "lost_count": done.lost_count}


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            if row["error"]:
                print(printable(f"{row['name']}: {row['error']}", "\n  "))
                continue
            place = row.get("archive") or row.get("folder")
            print(f"{row['name']}: {row['files']} files, {_size(row['bytes'])} in {place}")
            if row["lost_count"]:
                print(printable(f"  {row['lost_count']} are missing: {'; '.join(row['lost'])}"))
    raise typer.Exit(1 if any(row["error"] or row.get("lost_count") for row in rows) else 0)


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return ""
