"""What the members of a group may do with its own server, as JupyterHub is told; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubwright.people.config import SharedFolder


def told(teams: Mapping[str, SharedFolder]) -> dict[str, Any]:
    """Return what `Application.teams` is set to."""
    return {account: {"group": one.group, "folder": one.folder} for account, one in teams.items()}


def role(account: str, group: str) -> dict[str, Any]:
    """Return the role of who is in a group, as `JupyterHub.load_roles` takes it."""
    scopes = [f"{scope}!user={account}" for scope in ("access:servers", "servers")]
    return {"name": f"{account}-members", "scopes": scopes, "groups": [group]}
