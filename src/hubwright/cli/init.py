"""`hubwright init`."""

from __future__ import annotations

from rich.console import Console

from hubwright.cli.options import ConfigOption, StateOption
from hubwright.config.load import DEFAULT
from hubwright.config.reference import template
from hubwright.errors import MachineError, Refused


def init(config: ConfigOption = None, state: StateOption = None) -> None:
    """Write a hub.yaml in which every setting is explained.

    A file that is there already stays as it is.

    [bold]Examples[/]

      hubwright init

      hubwright init --config /srv/notebooks/hub.yaml
    """
    path = config or DEFAULT
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise Refused(
            "is there already, and stays as it is.",
            where=str(path),
            remedy='Look at it with "hubwright check", or name another file with --config.',
        ) from None
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}.", where=str(path)) from error
    words = [*(["--config", str(config)] if config else []), *(["--state", str(state)] if state else [])]
    rest = " ".join(["", *words])
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Wrote {path}. Everything in it is a comment: the service would run as it is.", markup=False)
    console.print(f"Check it:  hubwright check{rest}\nStart it:  hubwright up{rest}", markup=False)
