"""What Caddy writes down of its talks with an authority: a log of its own in the state folder, bounded.

It lasts longer than that of Caddy itself, and is there under systemd, too. Its owner is the hub's account, so that what
stands in it is read as anybody's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubwright.fields import Site
from hubwright.machine.files import read_plain

_MB = 1
"""It is begun anew at this size; a thousand lines and more, weeks of them."""
_LOGGERS = ("tls", "http.acme_client")


def path_of(site: Site) -> Path:
    """Return where it is."""
    return site.acme / "log"


def writer(site: Site) -> dict[str, Any]:
    """Return the log as Caddy's configuration has it."""
    return {
        "include": list(_LOGGERS),
        "level": "INFO",
        "writer": {
            "output": "file",
            "filename": str(path_of(site)),
            "mode": "0600",
            "roll_size_mb": _MB,
            "roll_keep": 1,
            "roll_gzip": False,
        },
        "encoder": {"format": "json", "time_format": "rfc3339_nano"},
    }


def entries(log: Path) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Yield the entries of a log in their order, each with its time, but what is cut off or of another shape."""
    try:
        lines = read_plain(log, (_MB + 1) * 2**20).splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
            yield datetime.fromisoformat(entry["ts"]).astimezone(UTC), entry
        except (ValueError, KeyError, TypeError):
            continue
