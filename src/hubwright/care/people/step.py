"""One change that the roster asks for, as a value that can be shown before it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hubwright.care.people.serving import Encryption
from hubwright.errors import Problem

Change = Literal["add", "change", "remove"]


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class Step:
    """One change."""

    what: Literal["account", "home", "group", "quota", "folder", "person", "admin", "files", "packages"]
    change: Change
    name: str
    """Whose it is: a Unix name, a group, a folder."""
    text: str
    """What is done, as it is told."""
    run: Callable[[], str] = field(default=_nothing, compare=False, repr=False)
    """Does it; returns what is to be told besides, such as a one-time link. Raises `HubwrightError`."""

    def plain(self) -> dict[str, Any]:
        """Return it such as JSON holds it."""
        return {"what": self.what, "change": self.change, "name": self.name, "text": self.text}


@dataclass(frozen=True)
class Plan:
    """Everything that is not as the roster says."""

    steps: Sequence[Step] = ()
    problems: Sequence[Problem] = ()
    """What keeps people of the roster out, each with its line."""
    notes: Sequence[str] = ()
    """What is worth knowing."""
    leaving: Sequence[str] = ()
    """Who loses access."""
    many: bool = False
    """Whether so many do that it looks like a mistake."""
    encryption: Encryption | None = None
    """How people's browsers come; shown, and changed by no step."""
