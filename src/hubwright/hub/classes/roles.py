"""Who has the role of a class's teachers: those of hub.yaml, once the hub knows them.

JupyterHub gives roles at its start only, and makes users of all whom it finds there, whether they may enter or not; the
members of Unix groups are not known then.
"""

from __future__ import annotations

from typing import Any

from jupyterhub import orm, roles
from jupyterhub.scopes import get_scopes_for, has_scope

from hubwright.classes.rights import looks_after, role, role_name
from hubwright.hub.classes.rolls import Rolls


class Roles:
    """The roles of a hub's classes."""

    def __init__(self, app: Any, rolls: Rolls) -> None:
        self._app, self._rolls = app, rolls

    def renew(self) -> None:
        """Bring the roles in step with who is in each class, and give them to its teachers."""
        db = self._app.db
        for name, section in self._rolls.sections.items():
            wanted = role(name, section, self._rolls.of_unix(section))
            found = orm.Role.find(db, role_name(name))
            if found is None or list(found.scopes) != wanted["scopes"]:
                found = roles.create_role(db, wanted)
            for user in db.query(orm.User).filter(orm.User.name.in_(section.teachers)):
                roles.grant_role(db, user, found)

    def taught_by(self, user: Any) -> list[str]:
        """Return the classes that somebody may look after: an admin all, a teacher his."""
        if user is None:
            return []
        have = get_scopes_for(user)
        return self.within(lambda scope: has_scope(scope, have, db=self._app.db))

    def within(self, has: Any) -> list[str]:
        """Return the classes that may be looked after by whoever has what `has` says."""
        return [name for name in self._rolls.sections if looks_after(has, name)]
