"""The command line: one file a command. Only here is anything printed, and only here is a process ended."""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = (
    *("init", "check", "up", "install", "uninstall", "status", "token", "user", "names", "secret"),
    *("plan", "apply", "homes", "logs", "metrics", "profiles", "env", "images", "containers", "proxy-config"),
    *("ports", "firewall", "content"),
)
"""A module of this package each: `NAME.app`, or the function `NAME`. Imported when it is asked for."""


_COMPLETION = {"install_completion", "show_completion"}
"""What typer gives each group; it would not work for a part of a program."""
_MARGIN = "[bold][/]"
"""Begins an example, which typer would not set in where nothing else follows the first sentence."""


class _Commands(TyperGroup):
    """Commands that cost their imports only when they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(f"hubwright.cli.{name}")
        several = getattr(module, "app", None)
        if several is None:
            several = typer.Typer(add_completion=False, rich_markup_mode="rich")
            several.command(cmd_name)(getattr(module, name))
        command = typer.main.get_command(several)
        command.name = cmd_name
        command.params = [one for one in command.params if one.name not in _COMPLETION]
        _unwrap(command)
        return command


def _unwrap(command: Any) -> None:
    """Join the lines of each paragraph of the help, but of examples: typer keeps the breaks of the source."""
    paragraphs = cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(
        _MARGIN + text if text.startswith(" ") else text.replace("\n", " ") for text in paragraphs
    )
    for inner in getattr(command, "commands", {}).values():
        _unwrap(inner)


app = typer.Typer(
    cls=_Commands,
    name="hubwright",
    help="A multi-user notebook service from one file, hub.yaml.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _service() -> None:
    """A multi-user notebook service from one file, hub.yaml."""


def main() -> None:
    """Run a command; what a person can mend is told without a traceback, with an exit code of its kind."""
    from hubwright.errors import HubwrightError

    try:
        app()
    except HubwrightError as error:
        from hubwright.cli.telling import tell_error

        tell_error(error)
        sys.exit(error.exit_code)
