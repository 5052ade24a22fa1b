"""Who is in a class: by hub.yaml, the hub's groups, and Unix groups where they count."""

from __future__ import annotations

import asyncio
import grp
import pwd
import time
from typing import Any

from jupyterhub import orm

from hubwright.classes.config import Class

_REMEMBERED = 60.0
"""Seconds for which the members of Unix groups are remembered; a directory may be slow to tell."""


class Rolls:
    """The classes of hub.yaml, as of now."""

    def __init__(self, app: Any, sections: dict[str, Any], *, unix_groups: bool) -> None:
        """`sections`: the classes as hub.yaml has them; `unix_groups`: whether those of the machine count."""
        self.sections = {name: Class.model_validate(told) for name, told in sections.items()}
        self._app = app
        self._unix: dict[str, frozenset[str]] = {}
        self._wanted = frozenset(group for one in self.sections.values() for group in one.groups if unix_groups)
        self._looked = -_REMEMBERED

    def title(self, name: str) -> str:
        """Return what people call a class."""
        return self.sections[name].title or name

    async def refresh(self) -> None:
        """Look at the Unix groups again, when the last look is a minute old."""
        if self._wanted and time.monotonic() >= self._looked + _REMEMBERED:
            self._looked = time.monotonic()
            self._unix = await asyncio.to_thread(_members_of, self._wanted)

    def members(self, name: str) -> list[str]:
        """Return who is in a class, in the order of their names."""
        section = self.sections[name]
        found = {*section.users}
        found |= self.of_unix(section)
        for group in section.groups:
            if (known := orm.Group.find(self._app.db, group)) is not None:
                found |= {user.name for user in known.users}
        return sorted(found)

    def of_unix(self, section: Class) -> frozenset[str]:
        """Return the members of a class's Unix groups, where those count; the account of a group's server is nobody."""
        found = frozenset[str]().union(*(self._unix.get(group, frozenset()) for group in section.groups))
        return found - {*self._app.teams}

    def around(self, user: Any) -> list[str]:
        """Return the classes that somebody is in or teaches."""
        if user is None:
            return []
        return [
            name for name, one in self.sections.items() if user.name in one.teachers or user.name in self.members(name)
        ]


def _members_of(groups: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the members of Unix groups, those whose own group it is included."""
    found: dict[str, frozenset[str]] = {}
    for name in groups:
        try:
            group = grp.getgrnam(name)
        except KeyError:
            continue
        own = {account.pw_name for account in pwd.getpwall() if account.pw_gid == group.gr_gid}
        found[name] = frozenset(own | {*group.gr_mem})
    return found
