"""What every command takes, and what it finds with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubwright.config.load import Loaded, load
from hubwright.fields import Site
from hubwright.machine.place import place
from hubwright.proxy.https import https_of

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The file that describes the service.", show_default="hub.yaml, if it is here"),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="The folder for database, secrets and logs.", show_default=".hubwright beside it"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def resolve(config: Path | None, state: Path | None) -> tuple[Loaded, Site]:
    """Return the service that the options name.

    Raises:
        ConfigError: hub.yaml cannot be used.
    """
    loaded = load(config)
    hub = loaded.hub
    return loaded, place(hub.hub.listen, hub.hub.url, loaded.path, state, encrypts=https_of(hub.https).ENCRYPTS)
