"""From a roster file to a `Roster`, or to every mistake in it at once, each with its line.

Plain text has `address [admin]` a line, and comments behind `#`. CSV (`.csv`) has a first line with the columns
`address`, and perhaps `admin` and `groups`. YAML (`.yaml`, `.yml`) is a list of such lines, or of
`{address: ..., admin: true, groups: [...]}`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.auth.names import unix_name
from hubwright.config.text import Told, read_text
from hubwright.config.tree import parse as parse_yaml
from hubwright.errors import ConfigError, Problem, Refused, perhaps
from hubwright.fields import shown
from hubwright.people.config import check_group_name
from hubwright.people.roster import Person, Roster, clashes

LARGEST = 2**20
"""Bytes of a roster."""
MOST = 20_000
"""People on it."""
_LONGEST = 320
_TOLD: Told = {FileNotFoundError: ("there is no such roster.", "Make it, or name another in people.roster.")}
_COLUMNS = ("address", "admin", "groups")
_YES, _NO = frozenset({"admin", "yes", "true", "1", "x"}), frozenset({"", "no", "false", "0", "-"})
_COMMENT = re.compile(r"(?:^|\s)#.*")


def read(path: Path) -> Roster:
    """Return the roster in a file.

    Raises:
        ConfigError: with every problem of the file; nothing else is raised for what a file holds.
    """
    return parse("\n".join(_lines(read_text(path, LARGEST, "roster", _TOLD))), path)


def parse(text: str, path: Path) -> Roster:
    """Return the roster of a text; `path` tells the format by its ending. Raises as `read` does."""
    reader = _Reader(str(path))
    match path.suffix.lower():
        case ".yaml" | ".yml":
            reader.yaml(text)
        case ".csv":
            reader.csv(text)
        case _:
            reader.plain(text)
    if len(reader.people) > MOST:
        reader.problems.append(Problem(str(path), f"lists more than {MOST} people."))
    reader.problems += clashes(reader.people, str(path))
    if reader.problems:
        raise ConfigError(sorted(reader.problems, key=_line_of))
    return Roster(path, tuple(reader.people))


@dataclass
class _Reader:
    file: str
    people: list[Person] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def plain(self, text: str) -> None:
        for number, line in enumerate(text.split("\n"), 1):
            self.line(line, number)

    def line(self, line: str, number: int) -> None:
        words = _COMMENT.sub("", line).split()
        if not words:
            return
        if len(words) > 2:
            self.refuse(number, f"has {len(words)} words.", "Write an address, and perhaps the word admin behind it.")
        elif len(words) == 2 and words[1] != "admin":
            what = f"{shown(words[1])} is not a word that can stand behind an address: only `admin` can."
            self.refuse(number, what, perhaps(words[1].lower(), ("admin",)))
        else:
            self.person(words[0], len(words) == 2, (), number)

    def csv(self, text: str) -> None:
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns: list[str] = []
        try:
            for row in rows:
                cells = [cell.strip() for cell in row]
                if not any(cells) or cells[0].startswith("#"):
                    continue
                if columns:
                    self.row(columns, cells, rows.line_num)
                    continue
                columns = [cell.lower() for cell in cells]
                if strange := [name for name in columns if name not in _COLUMNS]:
                    what = f"has a column that is not understood: {shown(strange[0])}."
                    self.refuse(rows.line_num, what, perhaps(strange[0], _COLUMNS) or f"Known: {', '.join(_COLUMNS)}.")
                    return
                if "address" not in columns or len({*columns}) < len(columns):
                    self.refuse(rows.line_num, "must name each column once, and `address` among them.")
                    return
        except csv.Error as error:
            self.refuse(max(1, rows.line_num), f"is not CSV: {error}.")

    def row(self, columns: list[str], cells: list[str], number: int) -> None:
        if len(cells) > len(columns):
            self.refuse(number, f"has {len(cells)} cells, and there are {len(columns)} columns.")
            return
        found = dict(zip(columns, cells, strict=False))
        admin = found.get("admin", "").lower()
        if admin not in _YES | _NO:
            self.refuse(number, f"{shown(found['admin'])} is neither yes nor no.", "Write admin, or nothing.")
            return
        self.person(found["address"], admin in _YES, tuple(re.split(r"[\s,;]+", found.get("groups", ""))), number)

    def yaml(self, text: str) -> None:
        tree = parse_yaml(text, self.file)
        self.problems += tree.problems
        if tree.data is None:
            return
        if not isinstance(tree.data, list):
            self.problems.append(Problem(self.file, "must be a list of addresses.", 'Write "- ada@example.org".'))
            return
        for index, entry in enumerate(tree.data):
            number = tree.lines.get((index,), 1)
            match entry:
                case str():
                    self.line(entry, number)
                case dict():
                    self.entry(entry, number)
                case None:
                    pass
                case _:
                    self.refuse(number, f"{shown(entry)} is not an address.")

    def entry(self, entry: dict[str, Any], number: int) -> None:
        if strange := [key for key in entry if key not in _COLUMNS]:
            what = f"has a key that is not understood: {shown(strange[0])}."
            self.refuse(number, what, perhaps(strange[0], _COLUMNS) or f"Known: {', '.join(_COLUMNS)}.")
            return
        login, admin, groups = entry.get("address"), entry.get("admin"), entry.get("groups")
        if not isinstance(login, str):
            self.refuse(number, "has no address.", "Write `address: ada@example.org`.")
        elif admin is not None and not isinstance(admin, bool):
            self.refuse(number, f"has an `admin` that is neither true nor false: {shown(admin)}.")
        elif groups is not None and not (isinstance(groups, list) and all(isinstance(one, str) for one in groups)):
            self.refuse(number, f"has `groups` that are no list of names: {shown(groups)}.")
        else:
            self.person(login, bool(admin), tuple(groups or ()), number)

    def person(self, login: str, admin: bool, groups: tuple[str, ...], number: int) -> None:
        login = login.strip()
        if not login or len(login) > _LONGEST or not login.isprintable() or any(mark.isspace() for mark in login):
            self.refuse(number, f"{shown(login)} is no address, and no name.")
            return
        local, at, domain = login.rpartition("@")
        if at and not (local and domain):
            self.refuse(number, f"{shown(login)} is not an address.", "Write it as ada@example.org.")
            return
        try:
            name = unix_name(login)
        except Refused as refusal:
            self.refuse(number, refusal.problem.what, refusal.problem.remedy)
            return
        for group in filter(None, groups):
            try:
                check_group_name(group)
            except ValueError as error:
                self.refuse(number, f"names a group that {error}")
                return
        self.people.append(Person(login, name, admin, tuple(dict.fromkeys(filter(None, groups))), number))

    def refuse(self, number: int, what: str, remedy: str = "") -> None:
        self.problems.append(Problem(f"{self.file}:{number}", what, remedy))


def _line_of(problem: Problem) -> int:
    number = problem.where.rpartition(":")[2].partition(" ")[0]
    return int(number) if number.isdecimal() else 0


def _lines(text: str) -> Iterator[str]:
    """Yield the lines, whatever ends them; a form feed and the like end none."""
    yield from text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
