"""The handlers of the pages: JupyterHub's own, with more to tell, and the overview."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers import pages as stock
from jupyterhub.scopes import needs_scope
from tornado.httputil import url_concat
from tornado.web import HTTPError, authenticated

from hubwright.engines import granting
from hubwright.hub import ahead
from hubwright.hub.pages import failures, sharing, start, together
from hubwright.hub.pages.assets import PATTERN, AssetHandler


class HomeHandler(stock.HomeHandler):
    """`/home`: the user's servers."""

    def render_template(self, name: str, sync: bool = False, **more: Any) -> Any:
        """Add why a start failed, what is shared, and which page can be made ready."""
        return self._told(**more) if name == "home.html" else super().render_template(name, sync, **more)

    async def _told(self, **more: Any) -> Any:
        """The page that Start opens is known where there is nothing to choose."""
        choice = await self.current_user.spawner.get_options_form()
        told = {"failure": failures.of, "shared": sharing.of(self), "ahead": (lambda _: "") if choice else ahead.of}
        more["together"] = together.of(self)
        if not choice:
            ahead.let_in(self)
        return await super().render_template("home.html", **told, **more)


class PendingHandler(stock.SpawnPendingHandler):
    """`/spawn-pending/...`: how far a start has come, or why it failed."""

    def render_template(self, name: str, sync: bool = False, **more: Any) -> Any:
        """Add why the start failed."""
        return super().render_template(name, sync, failure=failures.told(more.get("exception")), **more)


class StartHandler(stock.SpawnHandler):
    """`/spawn/...`: the form, when there is something to choose; else the start itself.

    A link with a choice starts at once when it was the user's own, see `start.may_start`.
    """

    failure: BaseException | None = None
    wanted: tuple[Any, str] | None = None
    """Whose server is started, and its name."""

    def _get_user_options(self, query: dict[str, list[str]]) -> dict[str, list[str]]:
        headers = self.request.headers
        if not start.may_start(headers.get("Sec-Fetch-Site"), headers.get("Sec-Fetch-Mode")):
            return {}
        return {name: [value] for name, value in start.choice(query).items()}

    async def _wrap_spawn_single_user(self, user: Any, server: str, *words: Any, **more: Any) -> Any:
        self.wanted = (user, server)
        try:
            return await super()._wrap_spawn_single_user(user, server, *words, **more)
        except Exception as error:
            self.failure = error
            raise

    def redirect(self, url: str, *words: Any, **more: Any) -> None:
        """Lead to a server that is up at once, not by way of the page that waits for it."""
        if self.wanted:
            user, server = self.wanted
            if user.spawners[server].ready:
                url = self.get_next_url(default=user.server_url(server))
        super().redirect(url, *words, **more)

    async def _render_form(self, for_user: Any, spawner_options_form: str, message: str = "", **more: Any) -> Any:
        names = self.path_args[1:] if len(self.path_args) > 1 else []
        server = names[0] or "" if names else ""
        after = self.get_argument("next", "")
        query = {name: self.get_query_arguments(name) for name in self.request.query_arguments}
        body = {name: self.get_body_arguments(name) for name in self.request.body_arguments}
        spawner = for_user.spawners.get(server) or for_user.spawner
        opens = ahead.of(spawner) if for_user == self.current_user and not after else ""
        if opens:
            ahead.let_in(self)
        return await self.render_template(
            "spawn.html",
            for_user=for_user,
            auth_state=None,
            server_name=server,
            spawner=spawner,
            ahead=opens,
            spawner_options_form=spawner_options_form,
            choice=start.choice(body or query),
            ours=granting.FORM,
            failure=failures.told(self.failure) if self.failure else failures.Failure(message or ""),
            url=url_concat(self.request.path, {"next": after} if after else {}),
        )

    def render_template(self, name: str, sync: bool = False, **more: Any) -> Any:
        """Add why the start failed, for the page that says so."""
        more.setdefault("failure", failures.told(more.get("exception")))
        return super().render_template(name, sync, **more)


class OverviewHandler(BaseHandler):
    """`/overview`: what everybody takes, for admins."""

    @authenticated
    @needs_scope("admin-ui")
    async def get(self) -> None:
        """Show the page; the numbers come from the API, which asks again who may see them."""
        if self.settings["template_vars"].get("unmeasured"):
            raise HTTPError(404, "Nothing is measured here: metrics.enabled is false in hub.yaml.")
        self.finish(await self.render_template("overview.html"))


HANDLERS: list[tuple[Any, ...]] = [
    (PATTERN, AssetHandler),
    (r"/home", HomeHandler),
    (r"/overview", OverviewHandler),
    (r"/spawn", StartHandler),
    (r"/spawn/([^/]+)", StartHandler),
    (r"/spawn/([^/]+)/([^/]+)", StartHandler),
    (r"/spawn-pending/([^/]+)", PendingHandler),
    (r"/spawn-pending/([^/]+)/([^/]+)", PendingHandler),
]
