"""Every page and API of Hubwright's own below `/hub/`, except those of a way to log in."""

from __future__ import annotations

from typing import Any

from hubwright.hub import handing, offer, usage
from hubwright.hub.pages import content, views

Handler = tuple[Any, ...]
"""`(pattern, class)` or `(pattern, class, arguments)`, as Tornado takes it; the pattern begins after `/hub`."""


def handlers() -> list[Handler]:
    """Return them; the first whose pattern fits is taken."""
    return [*offer.HANDLERS, *handing.HANDLERS, *usage.HANDLERS, *content.HANDLERS, *views.HANDLERS]
