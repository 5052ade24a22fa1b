"""The versions of contents in `content/` of the state folder: the newest is what people get."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubwright.content import originals
from hubwright.content.originals import FILE, Version
from hubwright.errors import MachineError, Refused
from hubwright.machine import locks, opening
from hubwright.machine.files import Owner, make_folder, write_atomically

FOLDER = "content"
KEPT = 3
"""How many versions stay: somebody may just be getting an older one."""
_PATIENCE = 60.0
_DRY = "dry"


class Store:
    """The versions of one content."""

    def __init__(self, state: Path, name: str) -> None:
        self.folder = state / FOLDER / name
        self.name = name

    def current(self) -> Version | None:
        """Return the newest version; None when nothing was taken yet.

        Raises:
            MachineError: it is damaged.
        """
        numbers = self._numbers()
        if not numbers:
            return None
        path = self.folder / str(numbers[-1]) / FILE
        try:
            return originals.decode(path.read_bytes())
        except (OSError, ValueError, TypeError, KeyError) as error:
            what, remedy = (
                f"The originals of {self.name} cannot be read: {error}.",
                "Remove that folder, and push again.",
            )
            raise MachineError(what, where=str(path), remedy=remedy) from error

    @contextmanager
    def opened(self) -> Iterator[tuple[int, int] | None]:
        """Yield number and open folder of the newest version, for `hand.Job`; None when there is none."""
        numbers = self._numbers()
        if not numbers:
            yield None
            return
        with opened(self.folder / str(numbers[-1])) as folder:
            yield numbers[-1], folder

    def begin(self, *, dry: bool = False) -> tuple[int, Path]:
        """Return the number and the empty folder of the next version; what a kill left is removed first.

        A `dry` one has a folder that never becomes a version.
        """
        numbers = self._numbers()
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in {str(number) for number in numbers}:
                shutil.rmtree(path)
        number = (numbers[-1] if numbers else 0) + 1
        folder = self.folder / (_DRY if dry else str(number))
        folder.mkdir()
        folder.chmod(0o755)
        (folder / originals.TREE).mkdir()
        return number, folder

    def keep(self, version: Version) -> None:
        """Make a version that is whole the newest, and remove what is too old."""
        write_atomically(self.folder / str(version.number) / FILE, version.encode(), 0o644)
        for number in self._numbers()[:-KEPT]:
            folder = self.folder / str(number)
            (folder / FILE).unlink()  # from here on it is none
            shutil.rmtree(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who takes versions, waiting for another.

        Raises:
            Refused: another is still at it.
        """
        make_folder(self.folder.parent, 0o700, Owner.me())
        make_folder(self.folder, 0o700, Owner.me())
        with locks.held(self.folder / "lock", _PATIENCE) as is_free:
            if not is_free:
                raise Refused(f"{self.name} is just being taken.", remedy="Try again when that has ended.")
            yield

    def _numbers(self) -> list[int]:
        found = self.folder.glob(f"*/{FILE}")
        return sorted(int(path.parent.name) for path in found if path.parent.name.isdecimal())


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Yield a descriptor of a version's folder."""
    descriptor = os.open(folder, opening.FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
