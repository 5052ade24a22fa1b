"""Groups that have servers of their own: a user of JupyterHub's each, as whom nobody logs in.

Who is in the group has, by a role of the group, the right to start, stop and open that user's server, and no other.
JupyterHub looks at groups whenever somebody asks, so who leaves one has that right no more.
"""

from __future__ import annotations

from typing import Any

from jupyterhub import orm, roles
from jupyterhub.utils import maybe_future


def add(app: Any) -> None:
    """Make the users that are missing."""
    for account in app.teams:
        if (user := orm.User.find(app.db, account)) is None:
            user = orm.User(name=account)
            app.db.add(user)
        roles.assign_default_roles(app.db, entity=user)
        user.admin = False
    app.db.commit()


def leave_alone(app: Any) -> None:
    """Have the authenticator not look again at these users, whom no provider knows."""
    look_again = app.authenticator.refresh_user

    async def refresh_user(user: Any, handler: Any = None, **more: Any) -> Any:
        return user.name in app.teams or await maybe_future(look_again(user, handler, **more))

    app.authenticator.refresh_user = refresh_user
