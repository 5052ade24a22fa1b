"""What root's programs hold whatever the hub asks for: the outer bounds of a `profiles` section, as plain numbers.

Root does not know who is in which group of the hub. So the bound of everybody is the largest of `default` and all
groups; a user with sizes of his own has his own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hubwright.profiles.config import Amount, Entry, Profiles
from hubwright.profiles.resolve import amounts, most

Numbers = dict[str, float | None]


def bounds(profiles: Profiles, servers: int) -> dict[str, Any]:
    """Return `limits`, `limits_of` and `room` as `machine.policy.Policy.parse` reads them.

    Args:
        profiles: the section.
        servers: how many servers a user may run where no entry says it.
    """
    shared = [profiles.default, *profiles.groups.values()]
    return {
        "limits": _limits(profiles, shared, servers),
        "limits_of": {user: _limits(profiles, _own(entry, shared), servers) for user, entry in profiles.users.items()},
        "room": {
            "cap_memory": profiles.cap.memory,
            "cap_cpu": profiles.cap.cpu,
            "margin_memory": profiles.margin.memory,
            "margin_cpu": profiles.margin.cpu,
        },
    }


def _own(entry: Entry, shared: Sequence[Entry]) -> list[Entry]:
    """Return a user's entry, with what it leaves out from each of the others."""
    said = {key: value for key in Entry.model_fields if (value := getattr(entry, key)) is not None}
    return [other.model_copy(update=said) for other in shared]


def _limits(profiles: Profiles, entries: Sequence[Entry], servers: int) -> Numbers:
    sizes = [profiles.sizes[name] for entry in entries for name in entry.sizes or () if name in profiles.sizes]
    reserves = [amounts(entry.reserve) for entry in entries]
    # a group that says nothing of a total has that of another of its members' groups, or of `default`
    totals = [entry.total for entry in entries if entry.total is not None]
    default = entries[0].total
    return {
        "memory": max((size.memory for size in sizes), default=None),
        "cpu": max((size.cpu for size in sizes), default=None),
        "processes": most([size.processes for size in sizes]) if sizes else None,
        "total_memory": _total([default, *totals], "memory"),
        "total_cpu": _total([default, *totals], "cpu"),
        "reserve_memory": max(one.memory for one in reserves) or None,
        "reserve_cpu": max(one.cpu for one in reserves) or None,
        "gpus": max((size.gpu or 0 for size in sizes), default=0) or None,
        "servers": max(entry.servers or profiles.default.servers or servers for entry in entries),
    }


def _total(totals: Sequence[Amount | None], part: str) -> float | None:
    """Return the largest total; None as soon as somebody may have none."""
    found: list[float] = [getattr(total, part) or 0.0 for total in totals if total is not None]
    return None if len(found) < len(totals) or 0.0 in found else max(found)
