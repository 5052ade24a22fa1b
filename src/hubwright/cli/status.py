"""`hubwright status`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from hubwright.care import state as states
from hubwright.care.supervise import FORK_SERVER
from hubwright.care.units.installed import MAIN, installed
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, is_closed, resolve
from hubwright.errors import NotRunning, Refused

_STYLE = {"well": "green", "silent": "yellow", "down": "bold red"}
_PENDING = {"spawn": "starting", "stop": "stopping", "check": "being looked at"}
"""What the hub is doing with a server, in words."""


def status(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show how the service is: its parts, its servers, and what processors and memory they take.

    Leaves with 0 when every part does its work, 69 when one does not.

    [bold]Examples[/]

      hubwright status

      hubwright status --json
    """
    _, site = resolve(config, state)
    if is_closed(site):
        raise Refused("Only whoever runs this service may ask how it is.", where=str(site.state), remedy="Use sudo.")
    found = states.read(site)
    if as_json:
        counts = {"servers": len(found.servers), "users": found.users}
        print(json.dumps({**asdict(found), "counts": counts, "well": found.well}, indent=1))
    elif all(part.health == "down" for part in found.parts):
        there = installed()
        # that unit counts as started, also where hub.yaml was wrong at the boot and no part could be
        start = f"systemctl restart {MAIN}" if there and there.state == site.state else "hubwright up"
        raise NotRunning("No service runs here.", where=str(site.state), remedy=f'Start it: "{start}".')
    else:
        _show(found)
    raise typer.Exit(0 if found.well else NotRunning.exit_code)


def _show(found: states.State) -> None:
    console = Console(highlight=False)
    console.print(found.url, soft_wrap=True)
    if found.ends_soon:
        console.print(f"[yellow]The certificate ends on {found.certificate}.[/]", soft_wrap=True)
    parts = Table("part", "health", "pid", "since", box=None, pad_edge=False, header_style="bold")
    for part in found.parts:
        parts.add_row(part.name, f"[{_STYLE[part.health]}]{part.health}[/]", str(part.pid or "-"), _age(part.age))
    console.print(parts)
    if found.servers:
        console.print()
        servers = Table(
            "user", "server", "health", "cpu", "memory", "since", "pid", box=None, pad_edge=False, header_style="bold"
        )
        counted = any(part.name == FORK_SERVER and part.health == "well" for part in found.parts)
        for one in found.servers:
            there = one.pid is not None or one.memory is not None  # a container has no process of ours
            health = "[green]well[/]" if one.ready and there else "[yellow]unknown to the hub[/]"
            if not there:
                health = "[bold red]gone[/]" if counted else "[yellow]not known[/]"
            if one.pending:
                health = f"[yellow]{_PENDING.get(one.pending, one.pending)}[/]"
            memory = "-" if one.memory is None else f"{one.memory / 2**20:,.0f} MB"
            cpu = "-" if one.cpu is None else f"{one.cpu:.2f}"
            servers.add_row(one.user, one.server or "-", health, cpu, memory, _age(one.age), str(one.pid or "-"))
        console.print(servers)
    people = "the hub does not answer" if found.users is None else _count(found.users, "user")
    console.print(f"\n{_count(len(found.servers), 'server')}, {people}.")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
