"""`hubwright env`: list, show, build, add, remove, lock, rollback, clean."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hubwright.care import mine
from hubwright.care.in_engine import elsewhere
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.cli.showing import size
from hubwright.cli.telling import tell_error
from hubwright.cli.up import Terminal
from hubwright.config import edit
from hubwright.config.load import Loaded, load
from hubwright.envs import building, cleaning, is_built, offering, together
from hubwright.envs.access import groups_of
from hubwright.envs.steps import Steps
from hubwright.envs.versions import Version
from hubwright.errors import ConfigError, HubwrightError, Refused, perhaps, printable
from hubwright.fields import Site
from hubwright.kinds import KindConfig

app = typer.Typer(
    help="Build the environments that kernels come from, and see what is in them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_TOLD = 5
_CHANGING = ".changing"
NameArgument = Annotated[str, typer.Argument(help="The environment's name in hub.yaml.")]


@app.command("list")
def list_environments(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the environments of hub.yaml: what they are, and whether they are as it says.

    [bold]Examples[/]

      sudo hubwright env list

      sudo hubwright env list --json
    """
    loaded, site = resolve(config, state)
    _is_ours(site)
    rows = [_row(name, entry, site) for name, entry in loaded.hub.environments.items()]
    for row in rows:
        row["bytes"] = cleaning.taken(building.versions_of(row["name"], site).folder) if row["version"] else None
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("name", "kind", "version", "language", "packages", "disk", "who", "", box=None, header_style="bold")
    for row in rows:
        version, packages = str(row["version"] or "-"), str(row["packages"] or "-")
        who, unlike = ", ".join(row["groups"]) or "everybody", f"[yellow]{row['state']}[/]"
        disk = "-" if row["bytes"] is None else size(row["bytes"])
        language = Text(printable(row["language"]))
        table.add_row(row["name"], row["kind"], version, language, packages, disk, who, unlike)
    console = Console(highlight=False)
    console.print(table)
    if whole := cleaning.taken(site.environments):
        console.print(f"All together, with what builds share: {size(whole)}.")


@app.command()
def show(
    name: NameArgument, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show what is in an environment, and which versions of it are kept.

    [bold]Examples[/]

      sudo hubwright env show science
    """
    loaded, site = resolve(config, state)
    _is_ours(site)
    entry = _entry(loaded, name)
    versions = building.versions_of(name, site)
    current = versions.current()
    told = _row(name, entry, site) | {
        "prefix": current.prefix if current else "",
        "installed": dict(current.packages) if current else {},
        "bytes": cleaning.taken(versions.folder) if current else None,
        "kept": [
            {"version": one.number, "built": one.built, "bytes": cleaning.taken(versions.folder_of(one))}
            for one in versions.all()
        ],
    }
    if as_json:
        print(json.dumps(told, indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    words = f" ({entry.kind}) {printable(told['language'])}  {told['prefix']}"
    console.print(Text.assemble((name, "bold"), words))
    if told["state"]:
        console.print(f"[yellow]{told['state']}[/]")
    for one in told["kept"]:
        mark = "current" if one["version"] == told["version"] else ""
        disk = "" if one["bytes"] is None else f", {size(one['bytes'])}"
        console.print(f"version {one['version']}, built {one['built']}{disk} {mark}".rstrip())
    if len(told["kept"]) > 1 and told["bytes"] is not None:
        console.print(f"All together, with what they share counted once: {size(told['bytes'])}.")
    for package, number in sorted(told["installed"].items(), key=lambda item: item[0].lower()):
        console.print(printable(f"  {package} {number}"), markup=False)


@app.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help="Environments; without any, those that changed.")] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Build environments as hub.yaml says now: beside the old version, tried, and taken at once when it works.

    Several are built at the same time. People with a running kernel keep theirs until they restart it. A build that
    fails changes nothing.

    [bold]Examples[/]

      sudo hubwright env build

      sudo hubwright env build science
    """
    loaded, site = resolve(config, state)
    _is_ours(site)
    wanted = names or [
        name
        for name, entry in loaded.hub.environments.items()
        if is_built(entry) and offering.unfinished(name, entry, site)
    ]
    _build(loaded, site, wanted)


@app.command()
def add(
    name: NameArgument,
    packages: Annotated[list[str] | None, typer.Argument(help="Packages, as the entry lists them.")] = None,
    python: Annotated[str | None, typer.Option("--python", help="The version of Python of a new environment.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="What a new environment is: uv, conda, r or julia.", show_default=edit.USUAL),
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Add packages to an environment, or a new environment, in hub.yaml; and build it.

    hub.yaml is changed only when the build has worked. A lock file is made anew.

    [bold]Examples[/]

      sudo hubwright env add science polars

      sudo hubwright env add old-numpy "numpy<2" --python 3.11

      sudo hubwright env add stats dplyr --kind r
    """
    loaded, site = resolve(config, state)
    _change(loaded, site, name, lambda text: edit.add_packages(text, name, packages or [], python, kind))


@app.command()
def remove(
    name: NameArgument,
    packages: Annotated[list[str] | None, typer.Argument(help="Packages; without any, the whole environment.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Take packages out of an environment, or an environment out of hub.yaml, with its versions.

    [bold]Examples[/]

      sudo hubwright env remove science polars

      sudo hubwright env remove old-numpy --yes
    """
    loaded, site = resolve(config, state)
    _entry(loaded, name)
    if packages:
        _change(loaded, site, name, lambda text: edit.remove_packages(text, name, packages))
        return
    _is_ours(site)
    if not yes:
        typer.confirm(f"Remove {name} with all its versions? Kernels that run in it may fail.", abort=True)
    path = _file(loaded)
    with building.versions_of(name, site).lock():
        edit.change(path, lambda text: edit.remove_environment(text, name), site.environments / _CHANGING)
        building.remove(name, site)
    with edit.alone(site.environments / _CHANGING):
        offering.offer(load(path).hub.environments, site)
    Terminal().say(f"{name} is gone.")


@app.command()
def lock(name: NameArgument, config: ConfigOption = None, state: StateOption = None) -> None:
    """Write every package of an environment, with version and hash, beside hub.yaml; builds then take exactly these.

    [bold]Examples[/]

      sudo hubwright env lock science
    """
    loaded, site = resolve(config, state)
    _is_ours(site)
    terminal = Terminal()
    path = _lock_one(name, _entry(loaded, name), site, terminal)
    terminal.say(f"{path} holds {name}.")


@app.command()
def rollback(
    name: NameArgument,
    to: Annotated[int | None, typer.Option("--to", help="A version.", show_default="the one before")] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Let the version before serve again, at once.

    [bold]Examples[/]

      sudo hubwright env rollback science

      sudo hubwright env rollback science --to 3
    """
    loaded, site = resolve(config, state)
    _is_ours(site)
    _entry(loaded, name)
    version = building.roll_back(name, site, to)
    Terminal().say(f"{name} is version {version.number} again, of {version.built}.")
    _offer(loaded, site)


@app.command()
def clean(
    versions: Annotated[bool, typer.Option("--versions", help="Versions before the current ones, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Remove what nobody needs: downloads, what broken-off builds left, environments that hub.yaml does not name.

    What a kernel, or another process, still uses is named with its user, and stays.

    [bold]Examples[/]

      sudo hubwright env clean

      sudo hubwright env clean --versions --yes
    """
    loaded, site = resolve(config, state)
    _is_ours(site)
    terminal = Terminal()
    found: list[cleaning.Waste] = []
    for waste in cleaning.find(loaded.hub.environments, site, versions):
        if waste.users:
            terminal.say(f"{waste.what}, stays: in use by {_some(waste.users)}")
        else:
            terminal.say(waste.what)
            found.append(waste)
    if not found:
        terminal.say("There is nothing that nobody needs.")
        return
    if not yes:
        typer.confirm("Remove this?" if len(found) == 1 else "Remove these?", abort=True)
    before = cleaning.taken(site.environments) or 0
    for waste in found:
        cleaning.clean(waste, site)
    terminal.say(f"{size(max(0, before - (cleaning.taken(site.environments) or 0)))} are free again.")


def _some(users: Sequence[object]) -> str:
    """Return who they are; of very many the first."""
    more = f" and {len(users) - _TOLD} more" if len(users) > _TOLD else ""
    return ", ".join(map(str, users[:_TOLD])) + more


def _row(name: str, entry: KindConfig, site: Site) -> dict[str, Any]:
    current = building.versions_of(name, site).current() if is_built(entry) else None
    return {
        "name": name,
        "kind": entry.kind,
        "version": current.number if current else None,
        "language": current.language if current else "",
        "packages": len(current.packages) if current else 0,
        "groups": list(groups_of(entry) or ()),
        "state": offering.unfinished(name, entry, site) if is_built(entry) else "",
    }


def _build(loaded: Loaded, site: Site, names: list[str]) -> None:
    terminal = Terminal()
    code = 0
    wanted = {name: _entry(loaded, name) for name in names}
    for name, done in together.build_all(wanted, site, terminal.wait):
        terminal.wait("")
        if isinstance(done, HubwrightError):
            tell_error(done)
            code = done.exit_code
        else:
            _tell_built(name, done, terminal)
    _offer(loaded, site)
    if not names:
        terminal.say("Every environment is as hub.yaml says.")
    raise typer.Exit(code)


def _change(loaded: Loaded, site: Site, name: str, change: Callable[[str], str]) -> None:
    """Build what a changed hub.yaml says, then let it be hub.yaml."""
    _is_ours(site)
    path = _file(loaded)
    locked = building.lock_file(name, site)
    with edit.kept(locked), edit.tried(path, change, site.environments / _CHANGING) as fresh:
        changed = _changed(fresh, path)
        terminal = Terminal()
        entry = _entry(changed, name)
        if locked.exists():
            _lock_one(name, entry, site, terminal)
        _build_one(name, entry, site, terminal)
    with edit.alone(site.environments / _CHANGING):
        _offer(load(path), site)


def _changed(fresh: Path, path: Path) -> Loaded:
    """Read what is to take hub.yaml's place; what is wrong there has no line yet."""
    try:
        return load(fresh)
    except ConfigError as error:
        here = re.compile(rf"{re.escape(fresh.name)}(:\d+)?")
        told = [replace(one, where=here.sub(path.name, one.where, count=1)) for one in error.problems]
        raise ConfigError(told) from error


def _build_one(name: str, entry: KindConfig, site: Site, terminal: Terminal) -> None:
    with Steps(terminal.wait) as steps:
        version = building.build(name, entry, site, steps.of(name))
    terminal.wait("")
    _tell_built(name, version, terminal)


def _lock_one(name: str, entry: KindConfig, site: Site, terminal: Terminal) -> Path:
    with Steps(terminal.wait) as steps:
        path = building.write_lock(name, entry, site, steps.of(name))
    terminal.wait("")
    return path


def _offer(loaded: Loaded, site: Site) -> None:
    """Offer what hub.yaml names, and say what of it does not work where the engine runs servers."""
    offering.offer(loaded.hub.environments, site)
    for problem in elsewhere(loaded, site):
        Terminal().warn(str(loaded.place(problem)))


def _tell_built(name: str, version: Version, terminal: Terminal) -> None:
    terminal.say(f"{name} is version {version.number}, with {len(version.packages)} packages.")


def _entry(loaded: Loaded, name: str) -> KindConfig:
    known = {key: entry for key, entry in loaded.hub.environments.items() if is_built(entry)}
    if name not in known:
        near = perhaps(name, list(known)) or (f"There are: {', '.join(known)}." if known else "It names none.")
        raise Refused(f"hub.yaml has no environment {name} that Hubwright builds.", remedy=near)
    return known[name]


def _file(loaded: Loaded) -> Path:
    if loaded.path is None:
        raise Refused("There is no hub.yaml here to write to.", remedy='Make one with "hubwright init".')
    return loaded.path


def _is_ours(site: Site) -> None:
    """Refuse environments that are another account's: it is root whose they are, or who would build them here."""
    if site.config is None and mine.is_inside():
        what = "Shared environments are the administrator's, and there is no hub.yaml here."
        raise Refused(what, remedy='What you may use: "jupyter kernelspec list".')
    made = next(filter(os.path.exists, (site.environments, site.state)), None)
    above = next(filter(os.path.exists, site.state.parents))
    # what lies in a closed folder is as if it were not there
    if made.stat().st_uid != os.geteuid() if made else not os.access(above, os.W_OK):
        raise Refused("Shared environments are root's.", remedy="Run it as root: sudo hubwright env ...")
