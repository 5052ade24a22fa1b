"""`hubwright up`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from hubwright.auth.first_use.links import first_admin_link
from hubwright.auth.ways import listed
from hubwright.care import ground, login, service, supervise
from hubwright.care.people import named
from hubwright.care.units import describe, installation, keeper
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.config.load import Loaded
from hubwright.fields import Site
from hubwright.hub.compile import admins

KeepOption = Annotated[bool, typer.Option("--keep", help="When it is stopped, leave the notebooks running.")]
UnitsOption = Annotated[bool, typer.Option("--units", hidden=True, help="As systemd starts it.")]


def up(
    config: ConfigOption = None, state: StateOption = None, keep: KeepOption = False, units: UnitsOption = False
) -> None:
    """Run the service until Ctrl-C.

    What an earlier start left running is adopted, and what dies is started again. As root everybody is served
    as the Unix user they are; otherwise only the one who runs it.

    [bold]Examples[/]

      hubwright up

      sudo hubwright up --config /srv/notebooks/hub.yaml --keep
    """
    loaded, site = resolve(config, state)
    terminal = Terminal()
    if units:
        _keep(loaded, site, terminal)
        return
    installation.explain_beside(site)
    if not site.privileged:
        terminal.say(f"Not started as root: only {site.account} is served. Start it as root to serve several people.")
    if warning := ground.check_config(site):
        terminal.warn(warning)
    beside = (loaded.path.absolute().parent if loaded.path else site.state.parent) / ".hubwright"
    if site.state != beside.resolve():
        terminal.say(f"Database, secrets and logs are in {site.state}.")
    made = service.compose(loaded, site, terminal, lambda opened: _tell_open(terminal, loaded, opened))
    for problem in (*named.check(loaded, site), *login.reach_soon(loaded, site)):
        terminal.warn(str(problem))
    supervise.up(site, made, terminal, keep=keep)


def _keep(loaded: Loaded, site: Site, terminal: Terminal) -> None:
    """Be the program of the keeper's unit."""

    def tell(opened: Site) -> None:
        terminal.say(f"Open {opened.public_url}")
        named.note(loaded, opened)

    if warning := ground.check_config(site):
        terminal.warn(warning)
    made = service.compose(loaded, site, terminal, tell, describe.LISTENERS)
    for problem in named.check(loaded, site):
        terminal.warn(str(problem))
    keeper.keep(loaded, site, made, terminal)


def _tell_open(terminal: Terminal, loaded: Loaded, site: Site) -> None:
    terminal.open(site.public_url)
    named.note(loaded, site)
    if listed(loaded.hub.auth).kind != "first_use":
        return
    for admin in admins(loaded.hub, site):
        if link := first_admin_link(site, admin):
            terminal.link(admin, link)


class Terminal:
    """Tells news line by line, and waits in one line that is rewritten where the output is a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True, stderr=True)
        self._status: Status | None = None
        self._waited = ""

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a line that stands out."""
        self._console.print(text, style="yellow", markup=False)

    def wait(self, text: str) -> None:
        """Show what is waited for; without a terminal, once for each thing."""
        if not self._console.is_terminal:
            thing = text.partition(" (")[0]
            if thing and thing != self._waited:
                self._console.print(f"{thing} ...", markup=False)
            self._waited = thing
            return
        if not text:
            if self._status is not None:
                self._status.stop()
            self._status = None
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def open(self, url: str) -> None:
        """Print the address, to stdout: it is what the command is for."""
        out = Console(highlight=False, soft_wrap=True)
        out.print(f"[bold green]Open[/] {url}" if out.is_terminal else url)
        sys.stdout.flush()
        self.say("Ctrl-C stops it.")

    def link(self, admin: str, link: str) -> None:
        """Print where the admin chooses a password."""
        out = Console(highlight=False, soft_wrap=True)
        out.print(f"The first time, {admin} chooses a password here, once:\n  {link}", markup=False)
        sys.stdout.flush()
