"""What every command takes, and what it finds with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hubwright.care.units.installed import installed
from hubwright.config.load import DEFAULT, Loaded, load
from hubwright.fields import Site
from hubwright.machine.place import SYSTEM_CONFIG, place
from hubwright.proxy.https import https_of

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The file that describes the service.",
        show_default="hub.yaml, if it is here, else the installed one",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="The folder for database, secrets and logs.", show_default=".hubwright beside it"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def is_closed(site: Site) -> bool:
    """Whether there is a service whose state only root, or another account, may read."""
    return os.access(site.state, os.F_OK) and not os.access(site.state, os.R_OK | os.X_OK)


def resolve(config: Path | None, state: Path | None) -> tuple[Loaded, Site]:
    """Return the service that the options name; as root, where there is no hub.yaml, the installed one.

    Raises:
        ConfigError: hub.yaml cannot be used.
    """
    if config is None and os.geteuid() == 0 and not os.path.lexists(DEFAULT) and SYSTEM_CONFIG.exists():
        config = SYSTEM_CONFIG.resolve()
    loaded = load(config)
    if state is None and os.geteuid() == 0 and (there := installed()) and loaded.path:
        state = there.state if there.config == loaded.path.absolute() else None
    hub = loaded.hub
    return loaded, place(hub.hub.listen, hub.hub.url, loaded.path, state, encrypts=https_of(hub.https).ENCRYPTS)
