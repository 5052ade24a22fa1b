"""Notices of a server: words that its user's JupyterLab shows, also when they come before it is open."""

from __future__ import annotations

from typing import Any

from tornado.ioloop import PeriodicCallback

NOTICE = "https://hubwright.readthedocs.io/events/notice/v1"
SCHEMA = {
    "$id": NOTICE,
    "version": "1",
    "title": "A notice for the user",
    "type": "object",
    "properties": {"message": {"type": "string"}, "level": {"enum": ["info", "warning", "error"]}},
    "required": ["message", "level"],
}
_LOOK = 2.0
"""Seconds between looks whether a page is open, while there is something to tell."""


def are_shown(logger: Any) -> bool:
    """Whether a page is open that shows notices; `logger` is the server's, of jupyter_events."""
    return bool(logger._modified_listeners.get(NOTICE))


class Notices:
    """Tells each notice once; JupyterLab shows 140 characters of it."""

    def __init__(self, server: Any) -> None:
        """Tell in the stream of events of `server`."""
        self._logger = server.event_logger
        self._logger.register_event_schema(SCHEMA)
        self._waiting: list[str] = []
        self._looking = PeriodicCallback(self._look, _LOOK * 1000)

    def tell(self, message: str) -> None:
        """Show a notice of something that went wrong, at once or as soon as a page is open."""
        self._waiting.append(message)
        self._look()
        if self._waiting and not self._looking.is_running():
            self._looking.start()

    def _look(self) -> None:
        if not are_shown(self._logger):
            return
        for message in self._waiting:
            self._logger.emit(schema_id=NOTICE, data={"message": message, "level": "error"})
        self._waiting.clear()
        self._looking.stop()
