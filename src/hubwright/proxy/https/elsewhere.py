"""What the kinds say whose certificate is not made of files of ours: nothing to watch, nothing to hand to Caddy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubwright.fields import Site


def covers(config: Any, site: Site, host: str) -> bool:
    """Return True: for which names there is a certificate is not ours to say."""
    return True


def watched(config: Any, site: Site) -> list[Path]:
    """Return no file."""
    return []


def pair(config: Any, site: Site) -> None:
    """Return no certificate: who has it renews it."""
    return None
