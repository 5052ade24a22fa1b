"""`Site` as a file, so that every part of the service reads the same places."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubwright.errors import MachineError, NotRunning
from hubwright.fields import Site
from hubwright.machine.files import Owner, write_atomically


def save(site: Site, path: Path, owner: Owner | None = None) -> None:
    """Write `site` as JSON, mode 0644; it holds no secret."""
    text = json.dumps(asdict(site), default=str, indent=1)
    write_atomically(path, text, 0o644, owner, durable=False)


def load(path: Path) -> Site:
    """Return the `Site` that `save` wrote; `NotRunning` when there is none, `MachineError` when it is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        host, port = found["listen"]
        return Site(
            config=Path(found["config"]) if found["config"] else None,
            state=Path(found["state"]),
            run=Path(found["run"]),
            prefix=Path(found["prefix"]),
            account=str(found["account"]),
            privileged=bool(found["privileged"]),
            listen=(str(host), int(port)),
            public_url=str(found["public_url"]),
        )
    except FileNotFoundError:
        raise NotRunning("No service runs here.", where=str(path), remedy='Start it with "hubwright up".') from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MachineError(
            f"This file cannot be read: {error}.",
            where=str(path),
            remedy='Run "hubwright up" again: it writes it anew.',
        ) from error
