"""The servers of groups, for the home page of who is in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Together:
    """A group's own server, as somebody may open it."""

    account: str
    """JupyterHub's user that it is."""
    group: str
    folder: str
    spawner: Any
    url: str


def of(handler: Any) -> list[Together]:
    """Return those that the user of a page may open, in the order of hub.yaml."""
    found = []
    for account, told in handler.app.teams.items():
        user = handler.find_user(account)
        if user is not None and handler.has_scope(f"access:servers!server={account}/"):
            found.append(Together(account, told["group"], told["folder"], user.spawners[""], user.server_url("")))
    return found
