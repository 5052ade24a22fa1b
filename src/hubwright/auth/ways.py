"""The ways to log in of a section `auth`, be it one or many; pure."""

from __future__ import annotations

from typing import Any

from hubwright.kinds import KindConfig


def ways_of(auth: KindConfig) -> dict[str, Any]:
    """Return the section of each way by its name, in the order of the file; a single one is called as its kind."""
    return dict(getattr(auth, "ways", None) or {auth.kind: auth})


def listed(auth: KindConfig) -> Any:
    """Return the section of the way whose people `hub.admins`, `people` and `hubwright user add` mean."""
    return ways_of(auth)[listed_name(auth)]


def listed_name(auth: KindConfig) -> str:
    """Return that way's name: the one that is said, or the first."""
    return str(getattr(auth, "listed", None) or next(iter(ways_of(auth))))


def of_kind(auth: KindConfig, kind: str) -> Any:
    """Return the section of the first way of a kind; None when there is none."""
    return next((section for section in ways_of(auth).values() if section.kind == kind), None)


def is_outside(section: KindConfig) -> bool:
    """Whether others than this machine say who its people are."""
    return hasattr(section, "accounts")


def roster_groups(auth: KindConfig) -> bool:
    """Whether the roster says who is in the hub's groups, since no provider does.

    Beside other ways to log in nobody does for people of one that tells none: two lists would stand against each other.
    """
    section = listed(auth)
    return not is_outside(section) or (section is auth and not getattr(section, "tells_groups", True))


def key_of(auth: KindConfig, way: str, key: str) -> str:
    """Return where a setting of a way stands: `auth.allow`, or `auth.ways.NAME.allow`."""
    return f"auth.ways.{way}.{key}" if getattr(auth, "ways", None) else f"auth.{key}"
