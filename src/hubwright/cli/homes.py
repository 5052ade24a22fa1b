"""`hubwright homes`: archive, restore, list."""

from __future__ import annotations

import grp
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.cli.showing import size
from hubwright.errors import HubwrightError, Refused, printable
from hubwright.fields import Site
from hubwright.machine.accounts import USERS_GROUP
from hubwright.machine.policy import find_account
from hubwright.people import archive as archives
from hubwright.people import whole
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
    """Pack homes into archives in `archive/` of the state folder, one a person; nothing is removed.

    With --all it is one file, all-DATE.tar, with everybody's archive in it.
    It reads with each person's own rights, follows no links, and stays on the home's file system.

    [bold]Examples[/]

      sudo hubwright homes archive ada grace

      sudo hubwright homes archive --all
    """
    site = _site(config, state)
    wanted = list(dict.fromkeys(_everybody(config, site) if all_ else names or ()))
    if not wanted:
        raise Refused("Nobody is named.", remedy="Name people, or say --all.")
    with _Progress(as_json) as progress:
        if all_:
            made = whole.create([_account(name) for name in wanted], site.state, progress.tell)
            rows = [_row(name, "archive", made.done.get(name) or made.failed[name]) for name in wanted]
        else:
            rows = [
                _try(name, "archive", lambda one: archives.create(one, site.state, progress.tell)) for name in wanted
            ]
    _print(rows, as_json)


@app.command()
def restore(
    names: Annotated[list[str] | None, typer.Argument(help="Whose homes.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everybody of an archive that --from names.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="An archive, of one person or of all.", show_default="the newest of each person"),
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an archive into a new folder of the person's home, `restored-DATE`; what is there stays as it is.

    [bold]Examples[/]

      sudo hubwright homes restore ada

      sudo hubwright homes restore --all --from all-20301224-180000.tar
    """
    site = _site(config, state)
    if all_ == bool(names) or (all_ and source is None):
        raise Refused("Name people, or say --all and --from an archive.")
    wanted = _chosen(site, source, names)
    with _Progress(as_json) as progress:
        rows = [_try(name, "folder", partial(_restore, which, progress.tell)) for name, which in wanted.items()]
    _print(rows, as_json)


@app.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the archives, the newest first; one of everybody's homes has the name `all`.

    [bold]Examples[/]

      sudo hubwright homes list --json
    """
    site = _site(config, state)
    found = sorted([*whole.found(site.state), *archives.found(site.state)], key=lambda one: one.made, reverse=True)
    if as_json:
        rows = [
            {"name": one.user, "made": one.made.isoformat(), "path": str(one.path), "bytes": one.size} for one in found
        ]
        print(json.dumps(rows, indent=1))
        return
    table = Table("name", "made", "size", "archive", box=None, header_style="bold")
    for one in found:
        table.add_row(one.user, f"{one.made:%Y-%m-%d %H:%M}", size(one.size), str(one.path))
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
            self._status.update(f"{name}: {told['entries']} files, {size(told['bytes'])}")


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


def _chosen(site: Site, source: Path | None, names: list[str] | None) -> dict[str, archives.Archive]:
    """Return which archive each person gets: the newest of his own, or what `source` holds; None is everybody in it."""
    if source is None:
        known = [
            *archives.found(site.state),
            *(one for all_ in whole.found(site.state) for one in whole.members(all_.path)),
        ]
    else:
        path = source if source.exists() else site.state / archives.FOLDER / source.name
        if (told := archives.parse(path.name)) and path.is_file():
            one = archives.Archive(*told, path, path.stat().st_size)
            known = [one]
            if names and len(names) == 1:  # whose it was is in its name; whose it shall be has been said
                return {names[0]: one}
        else:
            known = whole.members(path)
    found = {one.user: one for one in sorted(known, key=lambda one: one.made)}
    strangers = [name for name in names or () if name not in found]
    if strangers or not found:
        raise Refused(
            f"There is no archive of {', '.join(strangers) or 'anybody'}.", remedy='See "hubwright homes list".'
        )
    return {name: found[name] for name in names or sorted(found)}


def _restore(which: archives.Archive, tell: archives.Tell, one: Any) -> archives.Done:
    return archives.restore(one, which, tell)


def _try(name: str, place: str, act: Callable[[Any], archives.Done]) -> dict[str, Any]:
    try:
        return _row(name, place, act(_account(name)))
    except HubwrightError as error:
        return _row(name, place, error)


def _row(name: str, place: str, found: archives.Done | HubwrightError) -> dict[str, Any]:
    """Return what became of a home; `place` is what its path is called."""
    if isinstance(found, HubwrightError):
        return {"name": name, "error": str(found)}
    told = {"files": found.entries, "bytes": found.bytes, "lost": list(found.lost), "lost_count": found.lost_count}
    return {"name": name, place: str(found.path), **told, "error": ""}


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            if row["error"]:
                print(printable(f"{row['name']}: {row['error']}", "\n  "))
                continue
            place = row.get("archive") or row.get("folder")
            print(f"{row['name']}: {row['files']} files, {size(row['bytes'])} in {place}")
            if row["lost_count"]:
                print(printable(f"  {row['lost_count']} are missing: {'; '.join(row['lost'])}"))
    raise typer.Exit(1 if any(row["error"] or row.get("lost_count") for row in rows) else 0)
