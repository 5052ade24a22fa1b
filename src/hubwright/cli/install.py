"""`hubwright install`."""

from __future__ import annotations

import time

from rich.console import Console

from hubwright.auth.first_use.links import first_admin_link
from hubwright.auth.ways import listed
from hubwright.care import checkup, login
from hubwright.care import state as states
from hubwright.care.service import page_answers
from hubwright.care.units import installation
from hubwright.care.units.installed import installed, unit_of
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.cli.up import Terminal
from hubwright.config.load import DEFAULT, Loaded
from hubwright.config.reference import template
from hubwright.errors import ConfigError, MachineError, NotRunning
from hubwright.fields import Site
from hubwright.hub.compile import admins
from hubwright.machine import systemd
from hubwright.machine.files import make_folder, write_atomically
from hubwright.machine.place import SYSTEM_CONFIG
from hubwright.proxy.https import https_of

_PATIENCE = 600.0
"""Seconds for the page to answer; a part that fails again and again is told much sooner."""
_LOOP = 4


def install(config: ConfigOption = None, state: StateOption = None) -> None:
    """Have systemd run the service, from boot on; or bring an installed one in step with hub.yaml and this package.

    Without a hub.yaml here, and without --config, it is made as /etc/hubwright/hub.yaml. Notebooks run on, whatever
    is restarted; a second run changes nothing. What was there is saved first, in /var/backups/hubwright.

    [bold]Examples[/]

      sudo hubwright install

      sudo hubwright install --config /srv/notebooks/hub.yaml
    """
    terminal = Terminal()
    if config is None and not DEFAULT.exists() and installed() is None:
        config = SYSTEM_CONFIG
        if not SYSTEM_CONFIG.exists() and systemd.runs():
            _write_config(terminal)
    loaded, site = resolve(config, state)
    found = installation.changes(loaded, site)
    if not found:
        terminal.say(f"Nothing to do: the service is installed and runs as {loaded.path or 'by default'} says.")
    else:
        _check(loaded, site, terminal)
        if kept := installation.install(found, site, terminal):
            terminal.say(f"What was there before is saved: {kept}")
        for path in (*found.write, *found.link):
            terminal.say(f"Wrote {path}")
        for path in found.remove:
            terminal.say(f"Removed {path}")
    _await_page(loaded, site, terminal)
    out = Console(highlight=False, soft_wrap=True)
    out.print(site.public_url, markup=False)
    if listed(loaded.hub.auth).kind == "first_use":
        for admin in admins(loaded.hub, site):
            if link := first_admin_link(site, admin):
                terminal.link(admin, link)


def _write_config(terminal: Terminal) -> None:
    make_folder(SYSTEM_CONFIG.parent, 0o755)
    write_atomically(SYSTEM_CONFIG, template(), 0o644)
    terminal.say(f"Wrote {SYSTEM_CONFIG}. Everything in it is a comment: change it, then install again.")


def _check(loaded: Loaded, site: Site, terminal: Terminal) -> None:
    """Tell what is worth a look; refuse what could not run, before anything is changed."""
    problems = checkup.check(loaded, site)
    for problem in problems:
        if problem.severity == "warning":
            terminal.warn(str(problem))
    if errors := [problem for problem in problems if problem.severity == "error"]:
        raise ConfigError(errors)
    for problem in login.reach_soon(loaded, site):
        terminal.warn(str(problem))


def _await_page(loaded: Loaded, site: Site, terminal: Terminal) -> None:
    """Wait until browsers would see the login page."""
    encrypted = https_of(loaded.hub.https).ENCRYPTS
    began = time.monotonic()
    while not page_answers(site, encrypted=encrypted):
        waited = time.monotonic() - began
        parts = states.read(site).parts
        units = systemd.show([unit_of(part.name) for part in parts], "NRestarts")
        looping = [part.name for part in parts if int(units[unit_of(part.name)].get("NRestarts", 0)) >= _LOOP]
        if looping or waited > _PATIENCE:
            raise _told_of(looping or [part.name for part in parts if part.health != "well"])
        terminal.wait(f"Waiting for the login page ({waited:.0f} s)")
        time.sleep(1)
    terminal.wait("")


def _told_of(down: list[str]) -> NotRunning | MachineError:
    if not down:
        return MachineError("All parts run, but the login page does not answer.", remedy="See: hubwright status")
    lines = "".join(f"\n  {line}" for line in systemd.journal(unit_of(down[0]), 12))
    return NotRunning(f"Not up: {', '.join(down)}. The {down[0]} wrote last:{lines}")
