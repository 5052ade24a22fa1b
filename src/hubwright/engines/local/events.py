"""Schemas of events, read and checked once: jupyter_server does it for each server, which copies 2 MB of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_events.logger import EventLogger
from jupyter_events.schema import EventSchema
from jupyter_server import DEFAULT_EVENTS_SCHEMA_PATH, serverapp

_KNOWN: dict[Path, EventSchema] = {}
"""Each of jupyter_server's own files, and what it says."""


class KnownEventLogger(EventLogger):
    """An event logger that knows jupyter_server's own schemas."""

    def register_event_schema(self, schema: Any) -> None:
        """Register a schema, as EventLogger does."""
        known: Any = _KNOWN.get(schema) if isinstance(schema, Path) else None
        super().register_event_schema(known or schema)


def prepare() -> None:
    """Read the schemas that every server registers, and have servers use them; once, in the fork server."""
    for file in DEFAULT_EVENTS_SCHEMA_PATH.rglob("*.yaml"):
        _KNOWN[file] = EventSchema(file)
    serverapp.EventLogger = KnownEventLogger
