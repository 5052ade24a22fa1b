"""A roster as values: who is on it, and under which Unix names; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import Problem


@dataclass(frozen=True)
class Person:
    """Somebody on the roster."""

    login: str
    """The address or name that stands there."""
    name: str
    """The Unix name that comes of it."""
    admin: bool = False
    groups: tuple[str, ...] = ()
    line: int = 0

    @property
    def is_address(self) -> bool:
        """Whether it names somebody from elsewhere, and not simply an account of this machine."""
        return "@" in self.login


def same_person(login: str, other: str) -> bool:
    """Whether two logins that give one Unix name mean one person: two addresses must be equal, a bare name fits any."""
    return not ("@" in login and "@" in other) or login.lower() == other.lower()


@dataclass(frozen=True)
class Roster:
    """Everybody on it, in its order."""

    path: Path | None = None
    people: tuple[Person, ...] = ()

    @property
    def by_name(self) -> dict[str, Person]:
        """The people by Unix name."""
        return {person.name: person for person in self.people}

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Unix names by group."""
        found: dict[str, list[str]] = {}
        for person in self.people:
            for group in person.groups:
                found.setdefault(group, []).append(person.name)
        return {group: tuple(names) for group, names in sorted(found.items())}


def clashes(people: Iterable[Person], file: str) -> list[Problem]:
    """Return a problem for each person whom the roster names twice, or whose Unix name another has."""
    first: dict[str, Person] = {}
    problems = []
    for person in people:
        other = first.setdefault(person.name, person)
        if other is person:
            continue
        if other.login.lower() == person.login.lower():
            what = f"{person.login} stands there twice, in line {other.line} too."
            problems.append(Problem(f"{file}:{person.line}", what, "Keep one of them."))
        else:
            what = f'{person.login} and {other.login} (line {other.line}) would both be the user "{person.name}".'
            problems.append(Problem(f"{file}:{person.line}", what, "Keep one of them; let the other use an own name."))
    return problems
