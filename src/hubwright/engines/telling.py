"""What a start waits for, in words, on the page and in the API's stream of progress: part of every spawner of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class TellingMixin:
    """The part of a spawner whose `start` says with `tell` how far it is."""

    _news: tuple[int, str] = (0, "")
    _changed: asyncio.Event | None = None

    def tell(self, percent: int, words: str) -> None:
        """Say how far the start is, and what it waits for; from the hub's loop."""
        self._news = (percent, words)
        if self._changed:
            self._changed.set()
        self._changed = asyncio.Event()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what is told; who listens ends it."""
        told = (0, "")
        while True:
            self._changed = self._changed or asyncio.Event()
            changed, news = self._changed, self._news
            if news != told:
                told = news
                yield {"progress": news[0], "message": news[1]}
            await changed.wait()
