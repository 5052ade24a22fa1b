"""Making somebody an admin and ending sessions, for the command line: JupyterHub's own API lets no service do that."""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.roles import assign_default_roles
from jupyterhub.scopes import Scope, needs_scope
from jupyterhub.user import User
from tornado.web import HTTPError

from hubwright.auth.sessions import end_sessions


def require_admin(handler: Any) -> None:
    """Refuse with 403 whoever is neither an admin nor a service with the unrestricted scope `admin:users`."""
    whole = handler.parsed_scopes.get("admin:users") == Scope.ALL
    if not whole or (isinstance(handler.current_user, User) and not handler.current_user.admin):
        raise HTTPError(403, "Only an admin may do this.")


class AdminAPIHandler(APIHandler):
    """`/api/hubwright/people/NAME/admin`."""

    @needs_scope("admin:users")
    async def post(self, user_name: str) -> None:
        """Make a person an admin."""
        self._set(user_name, True)

    @needs_scope("admin:users")
    async def delete(self, user_name: str) -> None:
        """Make a person an admin no more."""
        self._set(user_name, False)

    def _set(self, user_name: str, admin: bool) -> None:
        require_admin(self)
        user = self.find_user(user_name)
        if user is None:
            raise HTTPError(404, "There is no such person.")
        user.admin = admin
        assign_default_roles(self.db, entity=user.orm_user)
        self.db.commit()
        told = "%s made %s an admin" if admin else "%s made %s an admin no more"
        self.log.info(told, self.current_user.name, user_name)
        self.set_status(204)


class SessionsAPIHandler(APIHandler):
    """`/api/hubwright/people/NAME/sessions`."""

    @needs_scope("admin:users")
    async def delete(self, user_name: str) -> None:
        """Log a person out in every browser, as after a changed password; who was never here has nothing to end."""
        require_admin(self)
        if (user := self.find_user(user_name)) is not None:
            end_sessions(self.db, user)
            self.log.info("%s ended the sessions of %s", self.current_user.name, user_name)
        self.set_status(204)


COMMAND_HANDLERS: list[tuple[str, Any]] = [
    (r"/api/hubwright/people/([^/]+)/admin", AdminAPIHandler),
    (r"/api/hubwright/people/([^/]+)/sessions", SessionsAPIHandler),
]
"""What the command line asks for besides JupyterHub's own API; every kind has it."""
