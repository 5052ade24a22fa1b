"""`hubwright uninstall`."""

from __future__ import annotations

from typing import Annotated

import typer

from hubwright.care.units import installation
from hubwright.care.units.installed import installed
from hubwright.cli.up import Terminal
from hubwright.errors import NotRunning
from hubwright.machine.systemd import UNITS

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def uninstall(yes: YesOption = False) -> None:
    """Take the installed service away: its units, its state, its settings. Notebooks that run are ended.

    Homes, Unix accounts and archives of homes stay, and all that is removed is in an archive below
    /var/backups/hubwright.

    [bold]Examples[/]

      sudo hubwright uninstall
    """
    found = installed()
    if found is None:
        raise NotRunning("No service is installed here.", where=str(UNITS))
    if not yes:
        typer.confirm(f"End the service and all notebooks, and remove {found.state}?", abort=True)
    terminal = Terminal()
    kept = installation.uninstall(terminal)
    terminal.say("The service is gone. Homes and Unix accounts stay.")
    if kept:
        terminal.say(f"Settings and state are in {kept}; to have them back: tar -x -C / -f {kept}")
