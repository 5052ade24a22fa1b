"""`content` of hub.yaml as root's programs read it: who gets what, and where homes are; pure."""

from __future__ import annotations

from typing import Any

from hubwright.config.model import Hub
from hubwright.engines import hosted


def contents(hub: Hub) -> dict[str, Any]:
    """Return what `content.who` reads."""
    found = {}
    for name, entry in hub.content.items():
        some = None if entry.allow == "all" else entry.allow
        found[name] = {
            "target": entry.place(name),
            "all": some is None,
            "groups": list(some.groups) if some else [],
            "users": list(some.users) if some else [],
        }
    return {"contents": found, "homes": _homes(hub)}


def _homes(hub: Hub) -> dict[str, Any]:
    """Return where homes are that are not the accounts' own, as engines with containers have them."""
    if hosted(hub.engine) is None:
        return {}
    everywhere = getattr(hub.engine, "home", None) or ""
    if (profiles := hub.profiles) is None:
        return {"users": {}, "groups": [], "default": everywhere}
    return {
        "users": {name: entry.home for name, entry in profiles.users.items() if entry.home},
        "groups": [[name, entry.home] for name, entry in profiles.groups.items() if entry.home],
        "default": profiles.default.home or everywhere,
    }
