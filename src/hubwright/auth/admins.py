"""Making somebody an admin, for the command line: JupyterHub's own API lets only admins do that, and no service."""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.roles import assign_default_roles
from jupyterhub.scopes import Scope, needs_scope
from jupyterhub.user import User
from tornado.web import HTTPError


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


ADMIN_HANDLER: tuple[str, Any] = (r"/api/hubwright/people/([^/]+)/admin", AdminAPIHandler)
