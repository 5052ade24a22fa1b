"""`hubwright firewall`."""

from __future__ import annotations

import os
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated

import typer

from hubwright.care import firewall as rules
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.cli.up import Terminal
from hubwright.errors import Refused
from hubwright.machine import ports
from hubwright.machine.session import session


class FirewallKind(StrEnum):
    """What sets the rules."""

    nftables = "nftables"
    ufw = "ufw"


KindOption = Annotated[
    FirewallKind | None,
    typer.Option("--kind", help="What sets the rules.", show_default="ufw where it is, else nftables"),
]
ApplyOption = Annotated[bool, typer.Option("--apply", help="Set the rules, now and at each boot.")]
AlsoOption = Annotated[
    list[int], typer.Option("--also", min=1, max=65535, help="Another port that stays open; as often as needed.")
]
SshOption = Annotated[
    list[str],
    typer.Option("--ssh-from", help="A network that may come by SSH, 10.0.0.0/8 for example; else everybody."),
]
CloseOption = Annotated[bool, typer.Option("--close", help="Close what else listens here.")]


def firewall(
    apply: ApplyOption = False,
    kind: KindOption = None,
    also: AlsoOption = [],  # noqa: B006 - typer copies it
    ssh_from: SshOption = [],  # noqa: B006
    close: CloseOption = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print rules that let in SSH and the service and nothing else; with --apply set them.

    Nobody locks himself out: SSH comes first, connections that are there go on, and rules by which the SSH session
    that sets them could not be begun again are refused. What else listens is closed only when --close says so.

    [bold]Examples[/]

      hubwright firewall

      sudo hubwright firewall --apply --also 5432

      hubwright firewall --kind ufw
    """
    for network in ssh_from:
        _check_network(network)
    loaded, site = resolve(config, state)
    seen, listening = session(), ports.listening()
    used: rules.Kind = rules.kind_here() if kind is None else "nftables" if kind is FirewallKind.nftables else "ufw"
    found = rules.rules(loaded, site, rules.Wanted(tuple(also), tuple(ssh_from)), listening, seen)
    if not apply:
        print(rules.text(used, found), end="")
    lost = rules.closed(found, listening)
    told = ", ".join(f"{one.port}/{one.protocol} ({one.program or 'a program that cannot be seen'})" for one in lost)
    terminal = Terminal()
    if not apply:
        if told:
            terminal.warn(f"Other machines can reach these now, and could not any more: {told}.")
        return
    if os.geteuid() != 0:
        raise Refused("Only root may set a firewall.", remedy="Use sudo.")
    rules.check_session(found, seen)
    if told and not close:
        raise Refused(
            f"Other machines can reach these now, and could not any more: {told}.",
            remedy="Leave a port open with --also PORT, or close them all with --close.",
        )
    for done in rules.apply(used, found):
        terminal.say(done)


def _check_network(text: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise Refused(f'"{text}" is not a network such as 10.0.0.0/8, nor an address.') from None
