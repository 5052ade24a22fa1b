"""`hubwright images`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.cli.telling import tell_error
from hubwright.cli.up import Terminal
from hubwright.config.load import Loaded
from hubwright.engines.docker.config import Config
from hubwright.errors import HubwrightError, MachineError, Refused
from hubwright.fields import Site

app = typer.Typer(help="The container images that servers are started from.", no_args_is_help=True)

NamesArgument = Annotated[list[str] | None, typer.Argument(help="Images to fetch; all of hub.yaml unless named.")]


def contained(config: Path | None, state: Path | None) -> tuple[Loaded, Config, Site]:
    """Return the service that the options name, whose engine is Docker.

    Raises:
        Refused: its engine is another.
    """
    loaded, site = resolve(config, state)
    engine = loaded.hub.engine
    if not isinstance(engine, Config):
        raise Refused(
            f"This service runs servers with the engine {engine.kind}, which has no containers.",
            where=loaded.where("engine"),
            remedy="Write: engine: {kind: docker}.",
        )
    return loaded, engine, site


@app.command("list")
def list_images(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show every image of hub.yaml: whether it is here, how large it is, and what is in it.

    Leaves with 0 when all can be used, 71 when one cannot.
    """
    from hubwright.engines.docker import ground, images

    loaded, engine, site = contained(config, state)
    rows = []
    for name in ground.wanted(engine, loaded.hub.profiles):
        found = images.find(engine.socket, name)
        size = int(found["Size"]) if found else 0
        row: dict[str, Any] = {"image": name, "here": found is not None, "size": size, "jupyterhub": ""}
        row["problem"] = "" if found else "not on this machine"
        if found:
            try:
                row["jupyterhub"] = ground.look(engine, site, name, found).jupyterhub
            except MachineError as error:
                row["problem"] = error.problem.what
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        table = Table("image", "size", "JupyterHub", "", box=None, pad_edge=False, header_style="bold")
        for row in rows:
            width = f"{row['size'] / 2**20:,.0f} MB" if row["here"] else "-"
            table.add_row(str(row["image"]), width, str(row["jupyterhub"] or "-"), f"[yellow]{row['problem']}[/]")
        Console(highlight=False).print(table)
    raise typer.Exit(MachineError.exit_code if any(row["problem"] for row in rows) else 0)


@app.command()
def pull(names: NamesArgument = None, config: ConfigOption = None, state: StateOption = None) -> None:
    """Fetch images from their registry, newer ones too, so that nobody waits for them at a start.

    [bold]Examples[/]

      hubwright images pull

      hubwright images pull quay.io/jupyter/base-notebook:latest
    """
    from hubwright.engines.docker import ground

    loaded, engine, site = contained(config, state)
    terminal = Terminal()
    code = 0
    for name in names or ground.wanted(engine, loaded.hub.profiles):
        try:
            image = ground.have(engine, site, name, terminal.wait, anew=True)
        except HubwrightError as error:
            terminal.wait("")
            tell_error(error)
            code = error.exit_code
            continue
        terminal.wait("")
        terminal.say(f"{name} is here, with JupyterHub {image.jupyterhub}.")
    raise typer.Exit(code)
