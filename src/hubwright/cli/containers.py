"""`hubwright containers`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hubwright.care.hub_api import HubApi
from hubwright.cli.images import contained
from hubwright.cli.options import ConfigOption, JsonOption, StateOption
from hubwright.errors import HubwrightError, MachineError, Refused
from hubwright.fields import Site, instance_of

app = typer.Typer(help="The containers of this service, whoever started them.", no_args_is_help=True)

NameArgument = Annotated[list[str] | None, typer.Argument(help="Containers by name.")]
UnknownOption = Annotated[bool, typer.Option("--unknown", help="All that the hub knows nothing of.")]


@app.command("list")
def list_containers(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show every container of this service, and whether the hub knows it as somebody's server.

    One that the hub does not know was left by a former run, or its user is gone:
    "hubwright containers remove --unknown".
    """
    from hubwright.engines.docker import listing

    _, engine, site = contained(config, state)
    known = _known(site)
    rows = [
        {**asdict(one), "known": None if known is None else (one.user, one.server) in known}
        for one in listing.containers(engine.socket, instance_of(site.state))
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("container", "user", "server", "image", "status", "hub", box=None, pad_edge=False)
    words = {True: "[green]knows it[/]", False: "[yellow]does not know it[/]", None: "does not answer"}
    for row in rows:
        cells = [str(row[name]) or "-" for name in ("name", "user", "server", "image", "status")]
        table.add_row(*cells, words[row["known"]])
    Console(highlight=False).print(table)


@app.command()
def remove(
    names: NameArgument = None,
    unknown: UnknownOption = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Stop and remove containers of this service. Homes stay.

    [bold]Examples[/]

      hubwright containers remove --unknown

      hubwright containers remove hubwright-1a2b3c4d-0123456789abcdef
    """
    from hubwright.engines.docker import listing

    _, engine, site = contained(config, state)
    found = listing.containers(engine.socket, instance_of(site.state))
    missing = set(names or ()) - {one.name for one in found}
    if missing:
        raise Refused(f"This service has no container {', '.join(sorted(missing))}.", remedy="See: containers list.")
    known: set[tuple[str, str]] | None = set()
    if unknown and (known := _known(site)) is None:
        raise MachineError("The hub does not answer, and only it can say which containers it knows.")
    chosen = [
        one for one in found if one.name in (names or ()) or (unknown and (one.user, one.server) not in (known or ()))
    ]
    left = listing.remove(engine.socket, chosen, grace=10)
    Console(highlight=False).print(f"Removed {len(chosen) - len(left)} containers.")
    if left:
        raise MachineError(f"Docker could not remove {', '.join(one.name for one in left)}.")


def _known(site: Site) -> set[tuple[str, str]] | None:
    """Return user and server of everything that the hub takes for running; None when it does not answer."""
    try:
        active = HubApi(site, timeout=10).users(active=True)
    except HubwrightError:
        return None
    return {(user["name"], name) for user in active for name in user.get("servers", {})}
