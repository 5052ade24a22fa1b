"""Whom the last `apply` let in: root's own record, so that it is known who has been taken out of the roster since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hubwright.errors import MachineError, Refused
from hubwright.machine import locks
from hubwright.machine.files import Owner, make_folder, read_own, write_atomically
from hubwright.people.roster import Person

FOLDER = "people"
_PATIENCE = 60.0
"""Seconds to wait for another `apply`."""


class Applied:
    """The record in `people/` of the state folder."""

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER
        self._path = self.folder / "applied.json"

    def make(self) -> None:
        """Make the folder, root's alone."""
        make_folder(self.folder, 0o700, Owner.me())

    def read(self) -> dict[str, Person]:
        """Return the people by Unix name; nobody when nothing was applied yet.

        Raises:
            MachineError: it is damaged, or others may write it.
        """
        try:
            listed = json.loads(read_own(self._path))
            return {
                str(name): Person(str(one["login"]), str(name), one["admin"] is True, tuple(map(str, one["groups"])))
                for name, one in listed.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MachineError(
                f"The record of people cannot be read: {error}.",
                where=str(self._path),
                remedy="Restore it from a backup, or remove it: then nobody counts as taken out.",
            ) from error

    def write(self, people: Mapping[str, Person]) -> None:
        """Replace the record."""
        plain = {
            name: {"login": one.login, "admin": one.admin, "groups": list(one.groups)}
            for name, one in sorted(people.items())
        }
        write_atomically(self._path, json.dumps(plain, indent=1), 0o600)

    @contextmanager
    def locked(self, patience: float = _PATIENCE) -> Iterator[None]:
        """Be the only one who applies, waiting for another; it ends with the process, however that ends.

        Raises:
            Refused: another is still at work.
        """
        self.make()
        with locks.held(self.folder / "lock", patience) as is_free:
            if not is_free:
                raise Refused("Another apply is at work.", remedy="Try again when it has ended.")
            yield
