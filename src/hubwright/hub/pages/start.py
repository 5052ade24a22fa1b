"""A link that starts a profile: which of its words are a choice, and whether it may start without a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FIELDS = ("size", "cpu", "memory", "image", "reserve_cpu", "reserve_memory")
"""What the form and a link may hold: `/hub/spawn?size=Small&image=Python`."""
_OWN = frozenset({"none", "same-origin"})
"""`Sec-Fetch-Site` of an address that was typed or kept by the user, and of a link on one of our own pages.

https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header; another website sends `cross-site` or `same-site`, and a
browser that says nothing (over plain HTTP from another machine) is treated like one.
"""


def choice(query: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what a link asks for, by field; `opt-size` is JupyterHub's own way to write `size`."""
    found: dict[str, str] = {}
    for name, values in query.items():
        field = name.removeprefix("opt-")
        if field in FIELDS and values and values[-1].strip():
            found[field] = values[-1].strip()
    return found


def may_start(site: str | None, mode: str | None) -> bool:
    """Whether a link may start a server at once, from the headers `Sec-Fetch-Site` and `Sec-Fetch-Mode`.

    Otherwise its choice is filled in and waits for a click: no other website shall start servers with the user's name.
    """
    return site in _OWN and mode == "navigate"
