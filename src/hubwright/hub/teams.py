"""Groups that have servers of their own: a user of JupyterHub's each, as whom nobody logs in.

Who is in the group has, by a role of the group, the right to start, stop and open that user's server, and no other.
JupyterHub looks at groups whenever somebody asks, so who leaves one has that right no more.
"""

from __future__ import annotations

from typing import Any

from jupyterhub import orm, roles
from jupyterhub.utils import maybe_future

from hubwright.engines.granting import SERVER_SCOPES


def add(app: Any) -> None:
    """Make the users that are missing, and end what one has that was somebody's before."""
    for account in app.teams:
        if (user := orm.User.find(app.db, account)) is None:
            user = orm.User(name=account)
            app.db.add(user)
        else:
            _take_from_person(app.db, user)
        user.admin = False
        roles.assign_default_roles(app.db, entity=user)
    app.db.commit()


def _take_from_person(db: Any, user: Any) -> None:
    """Leave to a user only what its server was given: nobody has a session, a token or a share of it."""
    user.cookie_id = orm.new_token()
    tokens = [one for one in user.api_tokens if [*one.scopes] != SERVER_SCOPES]
    for one in [*tokens, *user.oauth_codes, *user.shares, *user.share_codes]:
        db.delete(one)
    user.groups, user.roles = [], []


def leave_alone(app: Any) -> None:
    """Have the authenticator not look again at these users, whom no provider knows."""
    look_again = app.authenticator.refresh_user

    async def refresh_user(user: Any, handler: Any = None, **more: Any) -> Any:
        return user.name in app.teams or await maybe_future(look_again(user, handler, **more))

    app.authenticator.refresh_user = refresh_user
