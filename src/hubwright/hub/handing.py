"""Contents, as the hub hands them out: before a server's start what its user has not had yet, and one again on demand.

    GET  /hub/api/hubwright/content              {"contents": [{"name", "target", "error", "counts", "steps"}, ...]}
    POST /hub/api/hubwright/content/restore      {"content": NAME, "paths": [PATH, ...]}

Both are about the caller's own home. `steps` has what is not as the original is, for each `{"what", "path", "place",
"why"}`: with `what` as in `content.merge`; paths are relative to the home, those of the request to the content. A path
of "" is all of it. A server's own token will do, so that a terminal can ask.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import Scope
from tornado.web import HTTPError

from hubwright.content import running, serving, who
from hubwright.errors import HubwrightError, NotRunning, Refused
from hubwright.fields import Site
from hubwright.machine import async_wire, site_file

PATIENCE = 5.0
"""Seconds a start waits for contents; what takes longer goes on beside the server."""
_TAKES = 660.0
_LARGEST = 100_000
_AT_ONCE = asyncio.Semaphore(8)
"""As many homes as the account helper writes to at once."""
_under_way: set[asyncio.Task[None]] = set()


async def before_start(spawner: Any) -> None:
    """Hand out what this user has not had yet; a hook of JupyterHub's (`Spawner.pre_spawn_hook`).

    It never keeps a server from starting: what goes wrong is told in the hub's log, and tried again at the next start.
    """
    if getattr(spawner, "team", None):  # a group's own server is in a folder that they share
        return
    task = asyncio.ensure_future(_bring(spawner))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    if not done:
        spawner.log.warning(
            "Contents of %s take longer than %g s; the server starts meanwhile.", spawner.user.name, PATIENCE
        )


async def _bring(spawner: Any) -> None:
    name = spawner.user.name
    try:
        async with _AT_ONCE:
            answer = await ask(name, {"due": True})
    except (HubwrightError, OSError) as error:
        spawner.log.warning("Contents of %s are not handed out: %s", name, error)
        return
    for one in answer["contents"]:
        if one["error"] or one["problems"]:
            spawner.log.warning(
                "%s of %s: %s", one["name"], name, "; ".join([one["error"], *one["problems"]]).strip("; ")
            )
        else:
            spawner.log.info("Handed out %s to %s", one["name"], name)


async def ask(user: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return what the account helper answers; without root this process does the same, for its own account.

    Raises:
        NotRunning: nobody answers.
        Refused: the request is none, or the content is not for that person.
    """
    site = site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))
    if not site.privileged:
        return await asyncio.to_thread(_here, site, user, request)
    answer = await async_wire.ask(site.account_socket, {"op": "content", "user": user, **request}, _TAKES, patience=10)
    if not answer.get("ok"):
        raise Refused(str(answer.get("error", "It was refused.")), remedy=str(answer.get("remedy", "")))
    return answer


def _here(site: Site, user: str, request: dict[str, Any]) -> dict[str, Any]:
    if user != site.account:
        raise Refused(f"Only {site.account} has a home here: the service was not started by root.")
    person, contents = serving.chosen(pwd.getpwnam(user), request, site.run)
    asked = serving.check_asked(request.get("asked", []))
    dry, due = (request.get(key) is True for key in ("dry", "due"))
    with who.order(person, contents, site.state, asked=asked, dry=dry, due=due) as order:
        return serving.told(running.run(order), contents)


class ContentHandler(APIHandler):
    """What the caller gets, and how his files stand to the originals."""

    def caller(self) -> str:
        """Return whose home it is about: the caller's, who must be allowed into a server of his own."""
        user = self.current_user
        if user is None or isinstance(user, orm.Service):
            raise HTTPError(403, "Log in first.")
        scope = self.parsed_scopes.get("access:servers")
        allowed = scope is Scope.ALL or (
            scope
            and any(self.get_scope_filter("access:servers")(one, kind="server") for one in user.orm_spawners.values())
        )
        if not allowed:
            raise HTTPError(403, "This token is not for servers of yours.")
        return str(user.name)

    async def get(self) -> None:
        """Answer as the module says."""
        await self.answer({"dry": True})

    async def answer(self, request: dict[str, Any]) -> None:
        """Pass a request on, and what is answered back."""
        name = self.caller()
        try:
            found = await ask(name, request)
        except NotRunning as error:
            raise HTTPError(503, str(error)) from error
        except HubwrightError as error:
            raise HTTPError(400, str(error)) from error
        if request.get("asked") and not any(one["counts"] or one["error"] for one in found["contents"]):
            raise HTTPError(404, f"{request['content']} has no {' or '.join(request['asked'])[:300]}.")
        self.set_header("Cache-Control", "no-store")
        self.finish({"contents": found["contents"]})


class RestoreHandler(ContentHandler):
    """Originals again."""

    async def post(self) -> None:
        """Bring the originals that the body names; where the caller's own stand, beside them."""
        if len(self.request.body) > _LARGEST:
            raise HTTPError(400, "This is too much at once.")
        try:
            body = json.loads(self.request.body)
            asked = serving.check_asked(body["paths"])
            request = {"content": str(body["content"]), "asked": asked}
        except (ValueError, KeyError, TypeError, HubwrightError) as error:
            raise HTTPError(400, 'Say what: {"content": NAME, "paths": [PATH, ...]}.') from error
        if not asked:
            raise HTTPError(400, 'Say which: "paths" is empty.')
        await self.answer(request)


HANDLERS = [(r"/api/hubwright/content", ContentHandler), (r"/api/hubwright/content/restore", RestoreHandler)]
