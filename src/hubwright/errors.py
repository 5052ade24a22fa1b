"""What can go wrong: what happened, where, and what to do about it.

Every error that a person may cause or mend is a `HubwrightError`; the command line prints it without a traceback
and leaves with its exit code (sysexits.h where one fits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it is, what it is, and what to do."""

    where: str
    """A place a person can open: `hub.yaml:12 engine.memory`, a path, a port."""
    what: str
    remedy: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} {self.remedy}".rstrip()


class HubwrightError(Exception):
    """Something a person can understand and mend."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.problem = Problem(where, what, remedy)

    def __str__(self) -> str:
        return str(self.problem)


class ConfigError(HubwrightError):
    """hub.yaml cannot be used; holds every problem found, not only the first."""

    exit_code = 78

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class MachineError(HubwrightError):
    """The machine lacks something: a port, a permission, a program, space."""

    exit_code = 71


class Full(MachineError):
    """The machine has what was asked for, and not just now: others use it."""


class NotRunning(HubwrightError):
    """A part of the service does not answer."""

    exit_code = 69


class Refused(HubwrightError):
    """A request that is understood and not allowed."""

    exit_code = 77


def printable(text: str, newline: str = "?") -> str:
    """Return `text` with "?" for what a terminal might obey or not show: names of files are their owners' to choose.

    A line break becomes `newline`.
    """
    lines = ("".join(mark if mark.isprintable() else "?" for mark in line) for line in text.split("\n"))
    return newline.join(lines)


def perhaps(name: str, known: Sequence[str]) -> str:
    """Return `Perhaps you meant "x"?` for the known name nearest to `name`, or an empty string."""
    near = get_close_matches(name, known, n=1)
    return f'Perhaps you meant "{near[0]}"?' if near else ""
