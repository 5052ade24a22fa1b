"""`hubwright secret`."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from hubwright.care import ground
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.errors import Refused
from hubwright.machine.files import Owner, write_atomically

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.(secret|password)")
_LARGEST = 8192


def secret(
    name: Annotated[str, typer.Argument(help="Its file's name, as `hubwright check` tells it.", show_default=False)],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Give the service a secret: typed twice, or read from a pipe. It is kept in a file that only the hub reads.

    [bold]Examples[/]

      hubwright secret ldap.password

      hubwright secret google.secret < /root/google.txt
    """
    if not _NAME.fullmatch(name):
        raise Refused(f'"{name}" is not the name of a secret.', remedy="It is like ldap.password or google.secret.")
    _, site = resolve(config, state)
    if sys.stdin.isatty():
        text = typer.prompt(name, hide_input=True, confirmation_prompt=True)
    else:
        text = sys.stdin.read(_LARGEST + 1)
    text = text.strip()
    if not text or len(text) > _LARGEST or not text.isprintable():
        raise Refused(f"What was given for {name} is empty, too long, or has unprintable characters.")
    ground.make_folders(site)
    owner = Owner.of(site.account) if site.privileged else None
    write_atomically(site.secrets / name, text + "\n", 0o600, owner)
    print(f"{site.secrets / name} is written. It is used from the next start on.")
