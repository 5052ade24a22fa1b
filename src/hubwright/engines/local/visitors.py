"""Whom a server's owner lets in: the hub is asked again every two seconds, and who is out is out at once.

A server remembers for half a minute what the hub said of a cookie. For anybody but the owner that is too long: he may
have ended sharing, and an open websocket is asked for nothing at all.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from weakref import WeakSet

from jupyterhub.services.auth import HubOAuth, _ExpiringDict
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler
from traitlets import default

REMEMBERED = 2.0
"""Seconds for which the hub's answer about a visitor holds."""


class BriefCache(_ExpiringDict):
    """What the hub said, for `max_age` seconds of the owner, and for `REMEMBERED` of anybody else."""

    def _check_age(self, key: str) -> None:
        super()._check_age(key)
        model = self.values.get(key)
        if is_visitor(model) and self.timestamps[key] + REMEMBERED < time.monotonic():
            del self[key]


class IdentityProvider(JupyterHubIdentityProvider):
    """JupyterHub's, with open websockets of visitors closed when the hub lets them in no more."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._open: WeakSet[WebSocketHandler] = WeakSet()
        self._looking: asyncio.Task[None] | None = None

    @default("hub_auth")
    def _brief_hub_auth(self) -> HubOAuth:
        auth = HubOAuth(parent=self)
        auth.cache = BriefCache(auth.cache_max_age)
        return auth

    async def get_user(self, handler: Any) -> Any:
        """Return who asks, if he may; a visitor's websocket is looked after from now on."""
        user = await super().get_user(handler)
        if user is not None and is_visitor(user.hub_user) and isinstance(handler, WebSocketHandler):
            self._open.add(handler)
            if self._looking is None or self._looking.done():
                self._looking = asyncio.get_running_loop().create_task(self._look())
        return user

    async def _look(self) -> None:
        """Look again and again, while a visitor's websocket is open or about to be."""
        while self._open:
            await asyncio.sleep(REMEMBERED)
            for handler in list(self._open):
                if handler.ws_connection is None and handler._finished:  # closed, or refused
                    self._open.discard(handler)
                elif not await self._may_stay(handler):
                    self.log.warning("%s is let in no more: a websocket is closed", handler._jupyterhub_user.name)
                    self._open.discard(handler)
                    _close(handler)

    async def _may_stay(self, handler: Any) -> bool:
        """Whether the hub still lets a visitor in; also while it does not answer, since then nobody can say so."""
        auth = self.hub_auth
        try:
            model = await auth.user_for_token(
                auth.get_token(handler) or "", session_id=auth.get_session_id(handler), sync=False
            )
        except HTTPError:
            return True
        return bool(model and auth.check_scopes(auth.access_scopes, model))


def is_visitor(model: dict[str, Any] | None) -> bool:
    """Whether the hub's answer is about somebody else than the server's owner."""
    return bool(model) and (model or {}).get("name") != os.environ.get("JUPYTERHUB_USER")


def _close(handler: WebSocketHandler) -> None:
    """Close a websocket, open or about to be; at once: tornado would listen to the client for five seconds more."""
    stream = (handler.ws_connection or handler.request.connection).stream
    handler.close(1008, "You are let in no more.")
    stream.close()
