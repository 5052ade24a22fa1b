"""An R for a conda channel: the machine's own behind a script, as Debian's cannot be moved to another folder."""

from __future__ import annotations

from tests.conda_channel import Package

_SCRIPT = '#!/bin/sh\nexec /usr/bin/R "$@"\n'


def packages() -> list[Package]:
    """Return an R, its kernel, and a package that needs that R."""
    return [
        Package("r-base", "4.2", files={"bin/R": _SCRIPT}, modes={"bin/R": 0o755}),
        Package("r-irkernel", depends=["r-base"], files={"share/irkernel": ""}),
        Package("r-stats", depends=["r-base"], files={"share/stats": ""}),
    ]
