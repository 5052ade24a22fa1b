"""What the kinds whose certificate Caddy shows have in common: settings, and the address that must go with them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hubwright.errors import Problem
from hubwright.fields import Duration, Site

RedirectPort = Annotated[
    Annotated[int, Field(ge=0, le=65535)] | None,
    Field(
        description="The port on which plain HTTP is sent on to HTTPS; `0` for none. "
        "Without it 80 when `hub.listen` has port 443, else none.",
        examples=[80],
    ),
]
Strict = Annotated[Duration, Field(le=2 * 365 * 86400)]
"""Seconds of HSTS; two years at most."""
Hsts = Annotated[
    Strict,
    Field(
        description="For how long browsers shall use HTTPS only (HSTS); `0` does not say it. "
        "Said on port 443 only: browsers keep it for all ports of the name."
    ),
]
HALF_A_YEAR = 180 * 86400.0


def plain_url(site: Site) -> list[Problem]:
    """Return what to say of a public address that begins with `http:`; nothing of another."""
    if site.public_url.startswith("https:"):
        return []
    what = "begins with http://, but `https` has the service encrypted."
    return [Problem("hub.yaml hub.url", what, "Write https:// there.")]
