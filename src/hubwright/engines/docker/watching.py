"""Hearing at once when a container ends: one stream of Docker's events for all servers of a hub."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import cache

import docker
import requests
from docker.errors import DockerException

from hubwright.engines.docker.container import INSTANCE

_SILENCE = 60.0
"""Seconds without a word after which the stream is opened anew: a daemon that was frozen may never say that it left."""
_AGAIN = 2.0
"""Seconds until a daemon that went away is asked again."""


class Watch:
    """Calls back, in the hub's loop, when a container that was named ends."""

    def __init__(self, socket: str, instance: str) -> None:
        self._socket = socket
        self._filters = {"type": "container", "event": "die", "label": f"{INSTANCE}={instance}"}
        self._wanted: dict[str, tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = {}
        self._thread: threading.Thread | None = None

    def add(self, container: str, call: Callable[[], object]) -> None:
        """Call `call` when the container with this id ends; from the hub's loop."""
        self._wanted[container] = (asyncio.get_running_loop(), call)
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="docker-events", daemon=True)
            self._thread.start()

    def remove(self, container: str) -> None:
        """Call for it no more."""
        self._wanted.pop(container, None)

    def _listen(self) -> None:
        """Read for ever. What is missed while nobody reads, JupyterHub's own polling finds."""
        while True:
            try:
                with docker.APIClient(base_url=self._socket, version="auto", timeout=_SILENCE) as client:
                    for event in client.events(decode=True, filters=self._filters):
                        self._tell(event.get("id", ""))
            except (DockerException, requests.RequestException, OSError):
                pass
            time.sleep(_AGAIN)

    def _tell(self, container: str) -> None:
        loop, call = self._wanted.pop(container, (None, None))
        if loop is not None and call is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call)


@cache
def watch(socket: str, instance: str) -> Watch:
    """Return the one watch of a service."""
    return Watch(socket, instance)
