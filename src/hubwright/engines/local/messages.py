"""What teachers tell a class, shown in the JupyterLab of everybody in it; the hub is asked again and again."""

from __future__ import annotations

from typing import Any

from jupyterhub.utils import url_path_join
from tornado.web import HTTPError

from hubwright.engines.local import notices

EVERY = 15.0
"""Seconds."""
_SHOWN = 140
"""Characters that JupyterLab shows of a notice."""


class Messages:
    """Asks the hub, and shows each message once to whoever has JupyterLab open."""

    def __init__(self, server: Any) -> None:
        """`server` is asked for its page, and for its way to the hub."""
        self._server = server
        self._told: set[str] = set()

    async def look(self) -> None:
        """Show what is new; later, when the hub does not answer or no page is open."""
        logger = self._server.event_logger
        if not notices.are_shown(logger):
            return
        auth = self._server.identity_provider.hub_auth
        headers = {"Authorization": f"token {auth.api_token}"}
        try:
            found = await auth._api_request("GET", url_path_join(auth.api_url, "hubwright/messages"), headers=headers)
        except HTTPError:
            return
        for one in reversed(found or []):
            if one["id"] not in self._told:
                self._told.add(one["id"])
                text = f"{one['title']}: {one['text']}"
                logger.emit(
                    schema_id=notices.NOTICE,
                    data={"message": text if len(text) <= _SHOWN else one["text"], "level": "info"},
                )
