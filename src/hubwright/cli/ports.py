"""`hubwright ports`."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from hubwright.care.openings import openings
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve


def ports(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show which ports the service has, for whom each is, and what comes there.

    Told from hub.yaml; nothing has to run. All other ways between its parts are Unix sockets.

    [bold]Examples[/]

      hubwright ports

      hubwright ports --json
    """
    loaded, site = resolve(config, state)
    found = openings(loaded, site)
    if as_json:
        print(json.dumps([{**asdict(one), "who": one.who} for one in found], indent=1))
        return
    table = Table("port", "listens on", "for", "what", box=None, pad_edge=False, header_style="bold")
    for one in found:
        table.add_row(f"{one.port}/tcp", one.address, one.who, one.what)
    Console(highlight=False).print(table)
