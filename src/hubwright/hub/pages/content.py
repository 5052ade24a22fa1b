"""`/content`: what one was handed out, and what of it is not as the original is; see `hubwright.hub.handing`."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError, authenticated


class ContentPage(BaseHandler):
    """Somebody's own contents."""

    @authenticated
    async def get(self) -> None:
        """Show the page; what is on it comes from the API."""
        if not self.settings["template_vars"].get("handed_out"):
            raise HTTPError(404, "Nothing is handed out here: hub.yaml has no content.")
        _ = self.current_user.spawner  # the API answers who has a server, and this makes it known
        self.finish(await self.render_template("content.html"))


HANDLERS: list[tuple[Any, ...]] = [(r"/content", ContentPage)]
