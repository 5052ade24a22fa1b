"""Pages and API of one-time links, passwords and people."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.roles import assign_default_roles
from jupyterhub.scopes import needs_scope
from tornado.web import HTTPError, authenticated

from hubwright.auth.admins import COMMAND_HANDLERS, require_admin
from hubwright.auth.first_use.store import password_problem
from hubwright.auth.login import TellingLoginHandler, WayHandler
from hubwright.auth.sessions import end_sessions
from hubwright.errors import HubwrightError, Refused
from hubwright.fields import check_user_name


def _private(handler: BaseHandler) -> None:
    """Keep the token in the address out of caches and out of other sites' logs."""
    handler.set_header("Referrer-Policy", "no-referrer")
    handler.set_header("Cache-Control", "no-store")


def _new_password_problem(handler: WayHandler) -> str:
    password, again = (handler.get_body_argument(name, "", strip=False) for name in ("password", "again"))
    if problem := password_problem(password, handler.way.min_password_length):
        return problem
    return "" if password == again else "The two passwords are not the same."


class ClaimHandler(WayHandler):
    """`/claim`: choose a password through a one-time link."""

    async def get(self) -> None:
        """Show the form; looking at it does not use the link up."""
        name, token = self.get_query_argument("user", ""), self.get_query_argument("token", "")
        problem = await asyncio.to_thread(self.way.store.link_problem, name, token)
        await self._show(name, token, dead=problem)

    async def post(self) -> None:
        """Set the password and log in."""
        name, token = self.get_body_argument("user", ""), self.get_body_argument("token", "")
        if dead := await asyncio.to_thread(self.way.store.link_problem, name, token):
            return await self._show(name, token, dead=dead)
        if problem := _new_password_problem(self):
            return await self._show(name, token, problem=problem)
        user = self.find_user(name)
        if user is None:
            return await self._show(name, token, dead="This person is no longer known here.")
        password = self.get_body_argument("password", strip=False)
        if dead := await self.way.claim(name, token, password):
            return await self._show(name, token, dead=dead)
        end_sessions(self.db, user)
        self.log.info("%s has chosen a password", name)
        user = await self.login_user({"username": name, "password": password})
        if user is None:
            self.redirect(self.settings["login_url"])
            return None
        self._jupyterhub_user = user
        self.redirect(self.get_next_url(user))
        return None

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log it without the request's address, which has the token."""
        self.log.error("/claim: %s", value, exc_info=None if isinstance(value, HTTPError) else (kind, value, trace))

    async def _show(self, name: str, token: str, *, problem: str = "", dead: str = "") -> None:
        _private(self)
        if problem or dead:
            self.set_status(403 if dead else 400)
        self.finish(
            await self.render_template(
                "claim.html",
                person=name if not dead else "",
                token=token if not dead else "",
                problem=problem,
                dead=dead,
                minimum=self.way.min_password_length,
            )
        )


class ChangePasswordHandler(WayHandler):
    """`/auth/change-password`: change one's own password."""

    @authenticated
    async def get(self) -> None:
        """Show the form."""
        await self._show()

    @authenticated
    async def post(self) -> None:
        """Check the present password, set the new one, and log out every other browser."""
        user = self.current_user
        current = self.get_body_argument("current", "", strip=False)
        if problem := _new_password_problem(self):
            return await self._show(problem)
        if problem := await self.way.password_refusal(self, user.name, current):
            return await self._show(problem if "Too many" in problem else "The present password is not right.")
        password = self.get_body_argument("password", strip=False)
        await asyncio.to_thread(self.way.reset_password, user.name, password)
        end_sessions(self.db, user)
        self.set_hub_cookie(user)
        self.set_login_cookie(user)
        return await self._show(done=True)

    async def _show(self, problem: str = "", *, done: bool = False) -> None:
        _private(self)
        if problem:
            self.set_status(400)
        minimum = self.way.min_password_length
        self.finish(await self.render_template("change_password.html", problem=problem, done=done, minimum=minimum))


class PeopleHandler(WayHandler):
    """`/people`: who may enter, with new links for admins."""

    @authenticated
    @needs_scope("admin:users")
    async def get(self) -> None:
        """List the people."""
        require_admin(self)
        await self._show()

    @authenticated
    @needs_scope("admin:users")
    async def post(self) -> None:
        """Add a person and show the one-time link, this once."""
        require_admin(self)
        name = self.get_body_argument("name", "").strip()
        try:
            check_user_name(name)
        except ValueError as error:
            return await self._show(problem=f"This {error}", status=400)
        if self.find_user(name) is not None:
            return await self._show(problem=f'"{name}" is here already.', status=409)
        user = self.user_from_username(name)
        try:
            await self.way.add_user(user)
        except HubwrightError as error:
            self.users.delete(user)
            return await self._show(problem=str(error), status=400)
        user.admin = self.get_body_argument("admin", "") == "yes"
        assign_default_roles(self.db, entity=user.orm_user)
        self.db.commit()
        return await self._show(name, await self.way.new_link(name))

    async def _show(self, name: str = "", link: str = "", *, problem: str = "", status: int = 200) -> None:
        _private(self)
        self.set_status(status)
        found = [(user.name, bool(user.admin)) for user in self.db.query(orm.User).order_by(orm.User.name)]
        states = await asyncio.to_thread(self.way.store.states, [name for name, _ in found])
        people = [{"name": name, "admin": admin, "state": states[name]} for name, admin in found]
        self.finish(await self.render_template("people.html", people=people, person=name, link=link, problem=problem))


class NewLinkHandler(PeopleHandler):
    """`/claim-link/NAME`: a new one-time link for somebody."""

    @authenticated
    async def get(self, user_name: str) -> None:
        """Go to the list; a GET changes nothing."""
        self.redirect(f"{self.hub.base_url}people")

    @authenticated
    @needs_scope("admin:users")
    async def post(self, user_name: str) -> None:
        """Make the link and show it, this once."""
        require_admin(self)
        if (user := self.find_user(user_name)) is None:
            raise HTTPError(404, "There is no such person.")
        try:
            link = await self.way.new_link(user_name)
        except Refused as refusal:
            return await self._show(problem=str(refusal), status=409)
        if user != self.current_user:  # who changes one's own is not sent away from here
            end_sessions(self.db, user)
        return await self._show(user_name, link)


class PeopleAPIHandler(WayHandler, APIHandler):
    """`/api/hubwright/people`: name, admin and state of each person."""

    @needs_scope("admin:users")
    async def get(self) -> None:
        """List them as JSON."""
        require_admin(self)
        found = [(user.name, bool(user.admin)) for user in self.db.query(orm.User).order_by(orm.User.name)]
        states = await asyncio.to_thread(self.way.store.states, [name for name, _ in found])
        self.write(json.dumps([{"name": name, "admin": admin, "state": states[name]} for name, admin in found]))


class NewLinkAPIHandler(WayHandler, APIHandler):
    """`/api/hubwright/people/NAME/link`: a new one-time link."""

    @needs_scope("admin:users")
    async def post(self, user_name: str) -> None:
        """Make it; answers `{"link": address}`."""
        require_admin(self)
        if (user := self.find_user(user_name)) is None:
            raise HTTPError(404, "There is no such person.")
        try:
            link = await self.way.new_link(user_name)
        except Refused as refusal:
            raise HTTPError(409, str(refusal)) from refusal
        end_sessions(self.db, user)
        self.set_header("Cache-Control", "no-store")
        self.set_status(201)
        self.write(json.dumps({"link": link}))


HANDLERS: list[tuple[str, Any]] = [
    (r"/login", TellingLoginHandler),
    (r"/claim", ClaimHandler),
    (r"/auth/change-password", ChangePasswordHandler),
    (r"/people", PeopleHandler),
    (r"/claim-link/([^/]+)", NewLinkHandler),
    (r"/api/hubwright/people", PeopleAPIHandler),
    (r"/api/hubwright/people/([^/]+)/link", NewLinkAPIHandler),
    *COMMAND_HANDLERS,
]
