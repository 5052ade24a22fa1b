"""`hubwright content`: list, show, push, restore, link."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hubwright.care import content as contents
from hubwright.care import ground, mine
from hubwright.cli import telling
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.cli.showing import rows_table, size, step_lines
from hubwright.cli.telling import tell_error
from hubwright.cli.up import Terminal
from hubwright.config.load import Loaded
from hubwright.content.config import Content
from hubwright.content.links import link_to, puller_link
from hubwright.content.originals import Version
from hubwright.content.store import Store
from hubwright.errors import MachineError, Refused, printable
from hubwright.fields import Site

app = typer.Typer(
    help="Hand files out into people's homes, and bring new versions of them; nothing of theirs is overwritten.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
NameArgument = Annotated[str, typer.Argument(help="The content's name in hub.yaml.", show_default=False)]
UserOption = Annotated[list[str] | None, typer.Option("--user", help="Only this person; may be said again.")]


@app.command("list")
def list_contents(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the contents of hub.yaml: where each comes from, and what people get of it now.

    In a terminal of one's own server it lists what one gets oneself, and what of it is not as the original is.

    [bold]Examples[/]

      sudo hubwright content list
    """
    if config is None and mine.is_inside():
        _show_mine(mine.ask("GET", "/hubwright/content")["contents"], as_json)
        return
    loaded, site = _ours(config, state)
    rows = [_row(name, entry, site) for name, entry in loaded.hub.content.items()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("name", "from", "to", "who", "version", "files", "size", "taken", box=None, header_style="bold")
    for row in rows:
        number = str(row["version"] or "-")
        table.add_row(
            row["name"],
            row["from"],
            row["target"],
            row["who"],
            number,
            str(row["files"]),
            size(row["bytes"]),
            row["taken"],
        )
    Console(highlight=False).print(table if rows else "hub.yaml has no content.")


@app.command()
def show(
    name: NameArgument, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show the files of a content, as they were taken last, and what of the source is left out.

    [bold]Examples[/]

      sudo hubwright content show course
    """
    loaded, site = _ours(config, state)
    entry = contents.chosen(loaded, [name])[name]
    version = _current(name, site)
    told = _row(name, entry, site) | {
        "contents": [
            {"path": path, "bytes": one.size, "since": one.day} for path, one in sorted(version.files.items())
        ],
        "left": list(version.left),
    }
    if as_json:
        print(json.dumps(told, indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    commit = f", commit {version.commit[:12]}" if version.commit else ""
    console.print(f"{name}, version {version.number} of {version.source}{commit}, taken {version.taken}", markup=False)
    for one in told["contents"]:
        console.print(printable(f"  {one['since']}  {size(one['bytes']):>8}  {one['path']}"), markup=False)
    for left in version.left:
        console.print(f"left out: {left}", style="yellow", markup=False)


@app.command()
def push(
    names: Annotated[list[str] | None, typer.Argument(help="Contents; all of them without any.")] = None,
    user: UserOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show who would get what.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the newest originals, and bring them into everybody's home, also of those who are at work.

    What nobody has touched is updated. What somebody has edited stays, and the new original arrives beside it. What
    somebody has deleted stays away. What has not arrived, since a disk is full or it was killed, comes with the next
    push, or at the person's next start.

    [bold]Examples[/]

      sudo hubwright content push --dry-run

      sudo hubwright content push course --user ada
    """
    loaded, site = _ours(config, state)
    if not dry_run:
        ground.make_folders(site)
    elif not site.state.is_dir():
        raise Refused(f"There is no service in {site.state} yet.", remedy='Start it once: "hubwright up".')
    terminal = Terminal()
    try:
        done = contents.push(loaded, site, names or [], user or [], _quiet if as_json else terminal.wait, dry=dry_run)
    finally:
        terminal.wait("")
    if as_json:
        problems = [{"where": one.where, "what": one.what} for one in done.problems]
        print(json.dumps({"dry": dry_run, "homes": done.rows, "problems": problems}, indent=1))
    else:
        _tell_pushed(done, details=bool(user))
    if done.problems or any(row["error"] or row["problems"] for row in done.rows):
        raise typer.Exit(MachineError.exit_code)


@app.command()
def restore(
    name: NameArgument,
    paths: Annotated[list[str] | None, typer.Argument(help="Files or folders of it.", show_default=False)] = None,
    user: Annotated[str | None, typer.Option("--user", help="Whose home.", show_default="one's own")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every file of it.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring originals again: where the file was deleted, in its place; where it was edited, beside it.

    Everybody can do that for himself, in a terminal of his server.

    [bold]Examples[/]

      hubwright content restore course week-1/lesson.ipynb

      sudo hubwright content restore course week-1/lesson.ipynb --user ada
    """
    if not paths and not all_:
        raise Refused("No file is named.", remedy="Name some, or say --all.")
    asked = [""] if all_ else [path.strip("/") for path in paths or []]
    if config is None and mine.is_inside():
        if user not in {None, os.environ.get("USER"), os.environ.get("JUPYTERHUB_USER")}:
            raise Refused("Homes of others are root's to write.")
        (found,) = mine.ask("POST", "/hubwright/content/restore", {"content": name, "paths": asked})["contents"]
    else:
        loaded, site = _ours(config, state)
        if site.privileged and user is None:
            raise Refused("Nobody is named.", remedy="Say whose home: --user NAME.")
        found = contents.restore(loaded, site, name, asked, user or site.account)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        for line in step_lines(found["steps"]) or ["Everything is as the original is."]:
            print(line)
        for problem in [found["error"]] * bool(found["error"]) + found["problems"]:
            tell_error(MachineError(problem))
    raise typer.Exit(MachineError.exit_code if found["error"] or found["problems"] else 0)


@app.command()
def link(
    name: NameArgument,
    path: Annotated[str, typer.Argument(help="A file or folder of it.", show_default="the folder")] = "",
    puller: Annotated[bool, typer.Option("--nbgitpuller", help="A link for nbgitpuller in place of ours.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print the link that opens a notebook of a content: it logs in, starts the server, hands out, and opens.

    [bold]Examples[/]

      hubwright content link course week-1/lesson.ipynb
    """
    loaded, site = resolve(config, state)
    entry = contents.chosen(loaded, [name])[name]
    wanted = path.strip("/")
    if wanted and (version := _known(name, site)):
        contents.check_paths(name, [wanted], version)
    if puller:
        _check_for_puller(entry, loaded.where(("content", name)))
        print(puller_link(site.public_url, entry.git or "", entry.ref or "", entry.place(name), wanted))
    else:
        print(link_to(site.public_url, entry.place(name), wanted))


def _check_for_puller(entry: Content, where: str) -> None:
    """Refuse what nbgitpuller cannot pull: it clones a repository, as its user, into a folder that is not there."""
    ours = "Use our own link, without --nbgitpuller."
    if entry.git is None or entry.inside:
        raise Refused("nbgitpuller takes whole git repositories only.", where=where, remedy=ours)
    if entry.secret:
        raise Refused("nbgitpuller pulls with its user's rights, and knows no `secret`.", where=where, remedy=ours)
    if entry.allow == "all" or entry.allow.groups or entry.allow.users:
        what = "nbgitpuller cannot pull into a folder that Hubwright hands out."
        raise Refused(what, where=where, remedy=f"Write `allow: {{}}`, so that nobody gets it otherwise. Or: {ours}")


def _ours(config: Path | None, state: Path | None) -> tuple[Loaded, Site]:
    loaded, site = resolve(config, state)
    if loaded.path is None and mine.is_inside():
        what = "What people get is the administrator's to show and to push, and there is no hub.yaml here."
        raise Refused(what, remedy='What you get yourself: "hubwright content list".')
    if site.state.is_dir() and not os.access(site.state, os.W_OK | os.X_OK):
        raise Refused("The contents of this service are root's.", remedy="Run it as root: sudo hubwright ...")
    return loaded, site


def _known(name: str, site: Site) -> Version | None:
    """Return the newest version, where it may be read."""
    return Store(site.state, name).current() if os.access(site.state, os.R_OK | os.X_OK) else None


def _current(name: str, site: Site) -> Version:
    version = Store(site.state, name).current()
    if version is None:
        raise Refused(f"{name} was never taken.", remedy=f'Take it: "hubwright content push {name}".')
    return version


def _row(name: str, entry: Content, site: Site) -> dict[str, Any]:
    version = Store(site.state, name).current()
    some = None if entry.allow == "all" else entry.allow
    return {
        "name": name,
        "from": entry.git or str(entry.folder_from(site.config)),
        "target": entry.place(name),
        "who": ", ".join([*some.groups, *some.users]) if some else "everybody",
        "version": version.number if version else 0,
        "files": len(version.files) if version else 0,
        "bytes": version.size if version else 0,
        "taken": version.taken if version else "",
    }


def _show_mine(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for one in found:
        print(f"{one['name']} in {one['target']}: {sum(one['counts'].values())} files{'.' if not one['steps'] else ''}")
        for line in step_lines(one["steps"]):
            print(f"  {line}")


def _tell_pushed(done: contents.Pushed, *, details: bool) -> None:
    console = Console(highlight=False)
    for problem in done.problems:
        console.print(telling.table([problem]))
    for name, version in done.versions.items():
        console.print(
            f"{name}: version {version.number}, {len(version.files)} files, {size(version.size)}.", markup=False
        )
        for left in version.left:
            console.print(f"  left out: {left}", style="yellow", markup=False)
    console.print(rows_table(done.rows) if done.rows else "Nobody gets anything.")
    for row in done.rows if details else ():
        for line in step_lines(row["steps"]):
            console.print(f"  {row['user']}: {line}", markup=False, soft_wrap=True)


def _quiet(text: str) -> None:
    """Say nothing: JSON is printed."""
