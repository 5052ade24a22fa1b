"""Numeric ids of people and groups: given once from a range, kept in a table, and never used again.

The table is a file that only root reads and writes. Carried to another machine (`export`, `merge`) it makes both agree.
"""

from __future__ import annotations

import grp
import json
import pwd
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from hubwright.errors import MachineError, Refused
from hubwright.machine.files import read_own, write_atomically
from hubwright.people.roster import same_person

Kind = Literal["users", "groups"]
_LARGEST = 8 * 2**20


@dataclass(frozen=True)
class Entry:
    """An account or a group."""

    id: int
    login: str = ""
    """The address or name that a person had on the roster; empty for a group."""
    made: bool = True
    """Whether Hubwright made it, and so may remove it."""


@dataclass
class Table:
    """Who has which number."""

    users: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, Entry] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    """Numbers that somebody had who is gone for good."""

    @property
    def taken(self) -> set[int]:
        """Every number that cannot be given."""
        return self.gone | {entry.id for entry in (*self.users.values(), *self.groups.values())}

    def plain(self) -> dict[str, Any]:
        """Return it such as JSON holds it."""
        return {
            "users": {name: asdict(entry) for name, entry in sorted(self.users.items())},
            "groups": {name: asdict(entry) for name, entry in sorted(self.groups.items())},
            "gone": sorted(self.gone),
        }

    @classmethod
    def parse(cls, found: Any) -> Table:
        """Return the table that `plain` wrote; ValueError when it is none."""
        try:
            table = cls(gone={_number(one) for one in found["gone"]})
            for kind in ("users", "groups"):
                for name, entry in found[kind].items():
                    one = Entry(_number(entry["id"]), str(entry["login"]), entry["made"] is True)
                    getattr(table, kind)[str(name)] = one
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no table of ids ({error})") from error
        return table


class Ids:
    """The table of one service. Its user holds the lock of whoever applies a roster."""

    def __init__(self, folder: Path, numbers: str) -> None:
        """Keep it in `folder`, which must be root's; `numbers` is the range, as "20000-29999"."""
        self.path = folder / "ids.json"
        self._first, self._last = (int(number) for number in numbers.split("-"))

    def read(self) -> Table:
        """Return the table; an empty one when there is no file.

        Raises:
            MachineError: it is damaged, or others than its owner may write it.
        """
        try:
            return Table.parse(json.loads(read_own(self.path, _LARGEST)))
        except FileNotFoundError:
            return Table()
        except (OSError, ValueError) as error:
            raise MachineError(
                f"The table of ids cannot be read: {error}.", where=str(self.path), remedy="Restore it from a backup."
            ) from error

    def give(self, kind: Kind, name: str, login: str = "") -> int:
        """Return the number of an account or group that is to be made; a new one when it has none.

        A name that another login had gets a new number, so that nobody gets the files of the one before.

        Raises:
            MachineError: the range is used up.
        """
        table = self.read()
        entries: dict[str, Entry] = getattr(table, kind)
        known = entries.get(name)
        if known is not None and same_person(known.login, login):
            if known != (wanted := Entry(known.id, login, True)):
                entries[name] = wanted
                self._write(table)
            return known.id
        if known is not None:
            table.gone.add(known.id)
        number = self._free(table)
        entries[name] = Entry(number, login)
        self._write(table)
        return number

    def note(self, kind: Kind, name: str, number: int, login: str = "") -> None:
        """Keep the number of something that was there before."""
        table = self.read()
        entries: dict[str, Entry] = getattr(table, kind)
        known = entries.get(name)
        made = known is not None and known.made and known.id == number
        if known != (wanted := Entry(number, login, made)):
            if known is not None and known.id != number:
                table.gone.add(known.id)
            entries[name] = wanted
            self._write(table)

    def merge(self, other: Table) -> list[str]:
        """Take over what another machine's table has; return the names that are new here.

        Raises:
            Refused: the tables contradict each other; nothing is taken over then.
        """
        table = self.read()
        fresh = []
        for kind in ("users", "groups"):
            ours: dict[str, Entry] = getattr(table, kind)
            for name, entry in getattr(other, kind).items():
                word = kind.removesuffix("s")
                if (known := ours.get(name)) is None:
                    ours[name] = entry
                    fresh.append(name)
                elif known.id != entry.id:
                    raise Refused(f"The {word} {name} is {known.id} here, and {entry.id} in the other table.")
                elif known.login and entry.login and known.login != entry.login:
                    raise Refused(f"The {word} {name} is {known.login} here, and {entry.login} in the other table.")
        _check_unique(table)
        table.gone |= other.gone - table.taken
        self._write(table)
        return fresh

    def _free(self, table: Table) -> int:
        taken = table.taken
        used = {number for number in taken if self._first <= number <= self._last}
        for number in range(max(used, default=self._first - 1) + 1, self._last + 1):
            if not _on_machine(number):
                return number
        for number in range(self._first, self._last + 1):
            if number not in taken and not _on_machine(number):
                return number
        raise MachineError(
            f"Every number from {self._first} to {self._last} is given.", remedy="Widen people.ids in hub.yaml."
        )

    def _write(self, table: Table) -> None:
        write_atomically(self.path, json.dumps(table.plain(), indent=1), 0o600)


def _check_unique(table: Table) -> None:
    for entries, word in ((table.users, "users"), (table.groups, "groups")):
        by_id: dict[int, str] = {}
        for name, entry in entries.items():
            if (other := by_id.setdefault(entry.id, name)) != name:
                raise Refused(f"The {word} {other} and {name} would both be number {entry.id}.")


def _on_machine(number: int) -> bool:
    """Whether an account or a group of this machine has the number already."""
    for look in (pwd.getpwuid, grp.getgrgid):
        try:
            look(number)
        except KeyError:
            continue
        return True
    return False


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**32 - 1:
        raise TypeError(f"{value!r} is no number of an account")
    return value
