"""A small JSON file below `secrets` that survives a kill at any moment and many who change it at once."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubwright.errors import MachineError
from hubwright.machine.files import Owner, read_plain, write_atomically

_PATIENCE = 10.0
"""Seconds to wait for the lock."""
_LARGEST = 2**27
"""Bytes of such a file: those of a hundred thousand people."""


class Kept:
    """An object of objects, `{section: {...}}`, mode 0600. Blocks, so call it from a thread."""

    def __init__(self, path: Path, what: str, sections: tuple[str, ...], owner: Owner | None = None) -> None:
        """Keep it in `path`, whose folder must exist, as a file of `owner` (default: whoever writes).

        `what` names it in sentences, as in "the passwords".
        """
        self.path = path
        self._what = what
        self._sections = sections
        self._owner = owner

    def read(self) -> dict[str, Any]:
        """Return what it holds; empty sections when there is no file.

        Raises:
            MachineError: it is damaged, or no plain file.
        """
        try:
            # root reads it too, and the hub's account owns it: nothing put in its place is followed or waited for
            found = json.loads(read_plain(self.path, _LARGEST))
            return {name: dict(found[name]) for name in self._sections}
        except FileNotFoundError:
            return {name: {} for name in self._sections}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MachineError(
                f"The {self._what} cannot be read: {error}.",
                where=str(self.path),
                remedy="Restore it from a backup.",
            ) from error

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Read, change and replace the file, alone among threads and processes; nothing is written after an error."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock(folder)
            found = self.read()
            before = json.dumps(found)
            yield found
            if (after := json.dumps(found)) != before:
                write_atomically(self.path, after, 0o600, self._owner)
        finally:
            os.close(folder)

    def _lock(self, folder: int) -> None:
        """Take the lock of the folder, waiting a few seconds at most: whoever keeps it longer means harm or hangs."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MachineError(f"The {self._what} are held by another program.", where=str(self.path)) from None
                time.sleep(0.01)
            else:
                return
