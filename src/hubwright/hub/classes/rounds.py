"""Starting and stopping the servers of a class: by its timetable, and when its teacher says so.

What is to be done follows from the timetable, the clock and what runs, anew every few seconds; so a hub that was away
does late what is still worth doing. Only what has been done is remembered (`book.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import maybe_future
from tornado.httputil import HTTPServerRequest

from hubwright.errors import HubwrightError, Refused
from hubwright.hub.classes.book import Book, Round
from hubwright.hub.classes.roles import Roles
from hubwright.hub.classes.rolls import Rolls
from hubwright.hub.pages import failures

_EVERY = 5.0
"""Seconds between looks at the clock."""
_AGAIN = 60.0
"""Seconds until a start that failed is tried again."""
_TRIES = 3
_KEPT = 86400.0
"""Seconds for which a lesson that is over is remembered when nothing is to be stopped."""


class Rounds:
    """What a hub does for its classes."""

    def __init__(self, app: Any, rolls: Rolls, roles: Roles, book: Book) -> None:
        self._app, self._rolls, self._roles, self._book = app, rolls, roles, book
        self._log = app.log
        self._places = {name: asyncio.Semaphore(one.at_once) for name, one in rolls.sections.items()}
        self.waiting: dict[str, set[str]] = {name: set() for name in rolls.sections}
        """Whose servers of a class are to be started, or are starting."""
        self.started_here: dict[str, str] = {}
        """Whose server was started last, by a timetable or a teacher, and when that says it was started."""
        self.failed: dict[str, str] = {}
        """Whose server could not be started, and why; until it is."""
        self._later: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self) -> None:
        """Look after the timetables from now on; for a hub that serves."""
        self._spawn(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self._rolls.refresh()
                self._roles.renew()
                self.look(time.time())
            except Exception:  # one class that cannot be looked after must not end all; told, and tried again
                self._log.exception("The timetables cannot be looked after")
            await asyncio.sleep(_EVERY)

    def look(self, now: float) -> None:
        """Begin what is to be done at `now`."""
        moment = datetime.fromtimestamp(now, UTC)
        on: dict[str, Round] = {}
        for name, section in self._rolls.sections.items():
            if (lesson := section.hours.running(moment, section.start_before)) is not None:
                on[name] = self._book.round(name, lesson.begin.timestamp(), lesson.end.timestamp())
        for name, found in on.items():
            self._begin(name, found)
        busy = {user for name in on for user in self._rolls.members(name)}
        for found in [one for one in self._book.rounds if one.name not in on or one is not on[one.name]]:
            self._end(found, now, busy)

    def _begin(self, name: str, found: Round) -> None:
        for user in self._rolls.members(name):
            later = self._later.get((name, user), 0.0)
            if user in found.done or user in self.waiting[name] or time.monotonic() < later:
                continue
            self.waiting[name].add(user)
            self._spawn(self._start_for(name, user, found))

    async def _start_for(self, name: str, user: str, found: Round) -> None:
        """Start somebody's server for a lesson; once, also when he stops it meanwhile."""
        started = await self._start(name, user)
        if started is None:
            found.tried[user] = found.tried.get(user, 0) + 1
            self._later[name, user] = time.monotonic() + _AGAIN
            if found.tried[user] < _TRIES:
                return
        elif started:
            found.started[user] = started
        found.done.add(user)
        self._book.save()

    def _end(self, found: Round, now: float, busy: set[str]) -> None:
        """Stop what a lesson that is over has started, where that is wanted; then forget it."""
        section = self._rolls.sections.get(found.name)
        after = section.stop_after if section else None
        if now < found.end + (_KEPT if after is None else after):
            return
        self._book.rounds.remove(found)
        self._book.save()
        if after is not None:
            for user, started in found.started.items():
                if user not in busy and self.started(user) == started:
                    self._spawn(self._stop(user, ""))

    # What a teacher asks for

    def start(self, name: str, users: Iterable[str]) -> None:
        """Begin to start the servers of some of a class, a few at a time."""
        for user in users:
            if user not in self.waiting[name]:
                self.waiting[name].add(user)
                self._spawn(self._start(name, user))

    def stop(self, user: str, server: str) -> None:
        """Begin to stop a server."""
        self._spawn(self._stop(user, server))

    # How it is done

    def started(self, user: str) -> str:
        """Return when somebody's server was started that runs; empty when none does."""
        known = self._app.users.get(user)
        spawner = known.spawners[""] if known else None
        return str(spawner.orm_spawner.started) if spawner is not None and spawner.active else ""

    async def _start(self, name: str, user: str) -> str | None:
        """Start a server; return when it was started, an empty text when it ran already, None when it failed."""
        try:
            async with self._places[name]:
                if self.started(user):
                    return ""
                handler = _handler(self._app)
                known = await self._known(handler, user)
                await handler.spawn_single_user(known, "", options=self._rolls.sections[name].options or None)
                if (rest := known.spawners[""]._spawn_future) is not None:  # it is slow, and goes on
                    await asyncio.shield(rest)
                self._log.info("%s: the server of %s is started", name, user)
                self.started_here[user] = self.started(user)
                self.failed.pop(user, None)
                return self.started_here[user] or None
        except Exception as error:  # told on the page of the class; the others' servers start all the same
            self._log.warning("%s: the server of %s cannot be started: %s", name, user, error)
            self.failed[user] = failures.told(error).cause or (str(error) if isinstance(error, HubwrightError) else "")
            return None
        finally:
            self.waiting[name].discard(user)

    async def _known(self, handler: Any, name: str) -> Any:
        """Return the hub's user of that name; made known when he may enter, and has not come yet.

        Raises:
            Refused: he may not; to stand in a class lets nobody in.
        """
        if (user := self._app.users.get(name)) is not None:
            return user
        if not await maybe_future(self._app.authenticator.check_allowed(name, None)):
            raise Refused(f"{name} has never been here, and may not enter by auth and people of hub.yaml.")
        return handler.user_from_username(name)

    async def _stop(self, user: str, server: str) -> None:
        known = self._app.users.get(user)
        try:
            if known is not None and server in known.spawners and known.spawners[server].ready:
                await _handler(self._app).stop_single_user(known, server)
        except Exception:  # told; who wanted it sees that it runs on
            self._log.exception("The server of %s cannot be stopped", user)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Nobody:
    """The connection of a request that nobody sent."""

    def set_close_callback(self, callback: Any) -> None:
        """It is never closed."""


def _handler(app: Any) -> BaseHandler:
    """Return a handler, which is what JupyterHub 6 has starting and stopping in."""
    request = HTTPServerRequest(method="POST", uri=f"{app.hub_prefix}classes", connection=_Nobody())
    return BaseHandler(app.tornado_application, request)
