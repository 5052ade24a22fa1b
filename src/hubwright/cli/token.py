"""`hubwright token`."""

from __future__ import annotations

from typing import Annotated

import typer

from hubwright.care.hub_api import HubApi, unknown
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.errors import Refused
from hubwright.fields import parse_duration


def token(
    user: Annotated[str, typer.Argument(help="Whose rights it gives.")],
    expires: Annotated[str, typer.Option("--expires", help='How long it holds, such as "1h"; or "never".')] = "never",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print a new API token with a user's rights, and nothing else.

    [bold]Examples[/]

      hubwright token alice --expires 1h

      curl -H "Authorization: token $(hubwright token alice)" http://127.0.0.1:8000/hub/api/user
    """
    seconds = lasting(expires)
    _, site = resolve(config, state)
    hub = HubApi(site)
    try:
        made = hub.make_token(user, seconds, "hubwright token")
    except Refused:
        if user not in {one["name"] for one in hub.users()}:
            raise unknown(user) from None
        raise
    print(made)


def lasting(expires: str) -> float | None:
    """Return the seconds that a token holds by `--expires`, None for ever.

    Raises:
        Refused: no duration, or less than a second.
    """
    try:
        seconds = None if expires == "never" else parse_duration(expires)
    except ValueError as error:
        raise Refused(str(error), where="--expires") from None
    if seconds is not None and seconds < 1:
        raise Refused("must be at least a second.", where="--expires")
    return seconds
