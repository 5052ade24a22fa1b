"""The pages and the API of classes. A teacher sees and does here what concerns his classes, and is no admin elsewhere.

Who may is said by JupyterHub's scopes (`hubwright.classes.rights`): by the caller's roles, and the limits of his token.

    GET    /hub/api/hubwright/classes/NAME             everybody in it, and what of theirs runs; see `view.view`
    POST   /hub/api/hubwright/classes/NAME/start       {"users": [...]}, or all; 202, a few start at a time
    POST   /hub/api/hubwright/classes/NAME/stop        {"users": [...], "server": "name"}, or the default one
    POST   /hub/api/hubwright/classes/NAME/messages    {"text": "...", "minutes": 45}; 201
    DELETE /hub/api/hubwright/classes/NAME/messages/ID 204
    GET    /hub/api/hubwright/messages                 what the caller's own classes are told now

For a class one needs `custom:hubwright:classes!group=NAME`, or `admin:servers` (else 403, also where there is no such
class); to start and stop, `start:servers` and `delete:servers` of whom it is about, too. The token of a teacher's
notebook server has none of it, nor has what runs there.
"""

from __future__ import annotations

import json
import time
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError, authenticated

from hubwright.classes.rights import looks_after
from hubwright.hub.classes.teaching import SETTING, Teaching
from hubwright.hub.classes.view import listed, view
from hubwright.hub.usage import Asking

LONGEST = 140
"""Characters of a message: as many as JupyterLab shows of a notice."""
_MINUTES = 7 * 24 * 60


class _Taught(BaseHandler):
    """Something for teachers."""

    @property
    def teaching(self) -> Teaching:
        return self.settings[SETTING]

    async def prepare(self) -> None:
        """Have the roles in step before it is asked who the caller is: a teacher may come for the first time."""
        self.teaching.roles.renew()
        await super().prepare()

    def check(self, name: str) -> str:
        """Return the class's name, if the caller may look after it; else 403."""
        if self.current_user is None:
            raise HTTPError(403, "Log in first.")
        if name not in self.teaching.rolls.sections or not looks_after(self.has_scope, name):
            raise HTTPError(403, "You, or this token, may look after no class of this name.")
        return name


class _Class(_Taught, Asking):
    """Something about one class."""

    def body(self) -> dict[str, Any]:
        """Return what was sent."""
        found = self.get_json_body() or {}
        if not isinstance(found, dict):
            raise HTTPError(400, "Send an object.")
        return found

    def wanted(self, name: str, scope: str) -> list[str]:
        """Return whom a request is about, some of the class or all; 403 unless the caller has a scope for each."""
        everybody = self.teaching.rolls.members(name)
        found = self.body().get("users", everybody)
        if not isinstance(found, list) or not {str(one) for one in found} <= {*everybody}:
            raise HTTPError(400, "Not all of them are in this class.")
        if not all(self.has_scope(f"{scope}!user={user}") for user in found):
            raise HTTPError(403, f"You, or this token, may not do so: it needs {scope} for each of them.")
        return found


class ClassHandler(_Class):
    """One class."""

    async def get(self, name: str) -> None:
        """Answer as `view.view` says."""
        teaching, name = self.teaching, self.check(name)
        await teaching.rolls.refresh()
        people = self.users_known(teaching.rolls.members(name))
        await teaching.kernels.look(people.values())
        told = view(teaching, people, name, time.time())
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(told | {"usage": await self.measured(teaching.rolls.members(name))}))

    def users_known(self, names: list[str]) -> dict[str, Any]:
        """Return the hub's users of these names; None for who has not come yet."""
        return {name: self.find_user(name) for name in names}

    async def measured(self, names: list[str]) -> list[dict[str, Any]]:
        """Return what the servers of some take; nothing while that is not measured."""
        if not names or self.settings["template_vars"].get("unmeasured"):
            return []
        request: dict[str, Any] = dict.fromkeys(("server", "hours", "points", "top"))
        request |= {"op": "usage", "users": names, "all": False, "reserves": {}, "since": {}}
        try:
            return list(json.loads(await self.ask(request))["servers"])
        except HTTPError:
            return []


class StartHandler(_Class):
    """Starting servers."""

    async def post(self, name: str) -> None:
        """Begin; what runs already stays."""
        teaching, name = self.teaching, self.check(name)
        teaching.rounds.start(name, self.wanted(name, "start:servers"))
        self.set_status(202)


class StopHandler(_Class):
    """Stopping servers."""

    async def post(self, name: str) -> None:
        """Begin."""
        teaching, name = self.teaching, self.check(name)
        server = self.body().get("server", "")
        for user in self.wanted(name, "delete:servers"):
            teaching.rounds.stop(user, str(server))
        self.set_status(202)


class MessagesHandler(_Class):
    """Telling a class something."""

    async def post(self, name: str) -> None:
        """Keep a message for so many minutes."""
        teaching, name, body = self.teaching, self.check(name), self.body()
        text, minutes = body.get("text"), body.get("minutes")
        if not isinstance(text, str) or not (text := " ".join(text.split())) or len(text) > LONGEST:
            raise HTTPError(400, f"A message has 1 to {LONGEST} characters.")
        if not isinstance(minutes, int) or isinstance(minutes, bool) or not 1 <= minutes <= _MINUTES:
            raise HTTPError(400, "A message stays for 1 minute to a week.")
        now = time.time()
        message = teaching.book.add(name, text, self.current_user.name, now, now + 60 * minutes)
        self.set_status(201)
        self.finish(json.dumps({"id": message.id}))


class MessageHandler(_Class):
    """Taking it back."""

    async def delete(self, name: str, number: str) -> None:
        """Take a message back, or do nothing when it is over."""
        self.teaching.book.remove(self.check(name), number)
        self.set_status(204)


class OwnMessagesHandler(APIHandler):
    """What somebody's classes are told; his server asks, too, to show it in JupyterLab."""

    async def get(self) -> None:
        """Answer `[{"id", "title", "text", "by", "until"}]`, the newest first."""
        caller = self.current_user
        if caller is None or isinstance(caller, orm.Service):
            raise HTTPError(403, "Log in first.")
        teaching: Teaching = self.settings[SETTING]
        await teaching.rolls.refresh()
        told = [
            {"id": one.id, "title": title, "text": one.text, "by": one.by, "until": one.until}
            for title, one in teaching.messages(caller)
        ]
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(told))


class ClassesPage(_Taught):
    """`/classes`: the classes that somebody teaches; the only one at once."""

    @authenticated
    async def get(self) -> None:
        """Show them."""
        if not (names := self.teaching.roles.within(self.has_scope)):
            raise HTTPError(403, "You teach no class here.")
        if len(names) == 1:
            self.redirect(f"{self.hub.base_url}classes/{names[0]}")
            return
        self.finish(await self.render_template("classes.html", classes=listed(self.teaching, names, time.time())))


class ClassPage(_Taught):
    """`/classes/NAME`: one class."""

    @authenticated
    async def get(self, name: str) -> None:
        """Show the page; what is on it comes from the API, which asks again who may see it."""
        title = self.teaching.rolls.title(self.check(name))
        html = await self.render_template("class.html", which=name, title=title, longest=LONGEST, class_messages=[])
        self.finish(html)


_API = r"/api/hubwright/classes/([a-z0-9-]+)"
HANDLERS: list[tuple[Any, ...]] = [
    (_API, ClassHandler),
    (rf"{_API}/start", StartHandler),
    (rf"{_API}/stop", StopHandler),
    (rf"{_API}/messages", MessagesHandler),
    (rf"{_API}/messages/([0-9a-f]{{16}})", MessageHandler),
    (r"/api/hubwright/messages", OwnMessagesHandler),
    (r"/classes", ClassesPage),
    (r"/classes/([a-z0-9-]+)", ClassPage),
]
