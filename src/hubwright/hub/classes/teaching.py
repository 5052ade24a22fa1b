"""The classes of a hub as one thing, which its handlers find in the settings of Tornado."""

from __future__ import annotations

import time
from typing import Any

from hubwright.hub.classes.book import FILE, Book, Message
from hubwright.hub.classes.kernels import Kernels
from hubwright.hub.classes.roles import Roles
from hubwright.hub.classes.rolls import Rolls
from hubwright.hub.classes.rounds import Rounds
from hubwright.hub.usage import site

SETTING = "hubwright_teaching"
"""Where it is in the settings."""


class Teaching:
    """Who is in which class, what is done for them, and what they were told."""

    def __init__(self, app: Any, sections: dict[str, Any], *, unix_groups: bool) -> None:
        """`sections`: the classes, as hub.yaml has them."""
        self.rolls = Rolls(app, sections, unix_groups=unix_groups)
        self.roles = Roles(app, self.rolls)
        self.book = Book(site().state / FILE, app.log)
        self.kernels = Kernels(app, site().environments)
        self.rounds = Rounds(app, self.rolls, self.roles, self.book)

    def words(self) -> dict[str, Any]:
        """Return what every page is told: functions of the user who sees it."""
        return {"classes_taught": self.roles.taught_by, "class_messages": self.messages}

    def messages(self, user: Any) -> list[tuple[str, Message]]:
        """Return what somebody's classes are told now, with the title of each class."""
        told = self.book.said(self.rolls.around(user), time.time()) if self.book.messages else []
        return [(self.rolls.title(one.name), one) for one in told]
