"""What must outlive the hub: which servers a timetable has started, and what teachers have written."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hubwright.machine.files import write_atomically

FILE = "classes.json"
_KEPT = 200
"""Messages that are kept at most; the oldest go."""


@dataclass
class Round:
    """One lesson of a class: what the timetable has done for it. Times are Unix seconds."""

    name: str
    begin: float
    end: float
    started: dict[str, str] = field(default_factory=dict)
    """Whose server it started, and when that says it was started, so that a later one is known as another."""
    done: set[str] = field(default_factory=set)
    """Who needs nothing any more: his server ran, was started, or failed as often as is tried. Not written: when the
    service starts anew, its servers may have ended with it."""
    tried: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is written of it."""
        return {"name": self.name, "begin": self.begin, "end": self.end, "started": self.started}


@dataclass(frozen=True)
class Message:
    """What a teacher tells a class."""

    id: str
    name: str
    """The class."""
    text: str
    by: str
    at: float
    until: float


class Book:
    """The file, read once and written after each change."""

    def __init__(self, path: Path, log: Any) -> None:
        """Read it; one that cannot be read is told of, and begun anew."""
        self._path = path
        self.rounds: list[Round] = []
        self.messages: list[Message] = []
        try:
            told = json.loads(path.read_bytes())
            self.rounds = [Round(**one) for one in told["rounds"]]
            self.messages = [Message(**one) for one in told["messages"]]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.error("%s cannot be read, and is begun anew: %s", path, error)

    def round(self, name: str, begin: float, end: float) -> Round:
        """Return the round of a lesson, begun when it is not there."""
        for one in self.rounds:
            if (one.name, one.begin, one.end) == (name, begin, end):
                return one
        self.rounds.append(Round(name, begin, end))
        self.save()
        return self.rounds[-1]

    def add(self, name: str, text: str, by: str, now: float, until: float) -> Message:
        """Keep a message."""
        message = Message(secrets.token_hex(8), name, text, by, now, until)
        self.messages = [*(one for one in self.messages if one.until > now), message][-_KEPT:]
        self.save()
        return message

    def remove(self, name: str, number: str) -> None:
        """Take back a message of a class."""
        self.messages = [one for one in self.messages if (one.name, one.id) != (name, number)]
        self.save()

    def said(self, names: list[str], now: float) -> list[Message]:
        """Return what still counts of what these classes were told, the newest first."""
        return [one for one in reversed(self.messages) if one.name in names and one.until > now]

    def save(self) -> None:
        """Write it."""
        told = {"rounds": [one.to_json() for one in self.rounds], "messages": [asdict(one) for one in self.messages]}
        write_atomically(self._path, json.dumps(told), 0o600)
