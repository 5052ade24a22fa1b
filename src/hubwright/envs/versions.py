"""The versions of one environment: each in a folder of its own, one of them current, by a link that is renamed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hubwright.errors import MachineError, Refused
from hubwright.machine import using
from hubwright.machine.files import write_atomically

KEPT = 3
"""How many versions stay in any case: the current one, and those before it."""
CURRENT = "current"
_RECORD = "version.json"


@dataclass(frozen=True)
class Version:
    """One build that was tested and taken."""

    number: int
    built: str
    """When, in ISO 8601, UTC."""
    source: str
    """What it was made of: the digest of its section, of the files that names, and of its lock."""
    language: str
    prefix: str
    packages: Mapping[str, str] = field(default_factory=dict)
    """Name to version."""
    preload: tuple[str, ...] = ()
    """The modules that its kernels find imported."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What each of its kernels has set."""


class Versions:
    """The folder of one environment: `versions/<number>/` and the link `current`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.folder.name

    def all(self) -> list[Version]:
        """Return every whole version, the oldest first; none when it was never built."""
        found = [self._read(path) for path in (self.folder / "versions").glob(f"*/{_RECORD}")]
        return sorted((one for one in found if one), key=lambda one: one.number)

    def current(self) -> Version | None:
        """Return the version that new kernels get."""
        try:
            return self._read(self.folder / os.readlink(self.folder / CURRENT) / _RECORD)  # noqa: PTH115 (a text)
        except OSError:
            return None

    def begin(self) -> Path:
        """Return the empty folder of the next version; those that a killed build left are removed first."""
        place = self.folder / "versions"
        for path in (self.folder, place):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        numbers = [0]
        for path in place.iterdir():
            if (path / _RECORD).is_file() and path.name.isdecimal():
                numbers.append(int(path.name))
            else:
                remove(path)
        made = place / str(max(numbers) + 1)
        made.mkdir(mode=0o755)
        return made

    def folder_of(self, version: Version) -> Path:
        """Return where a version is."""
        return self.folder / "versions" / str(version.number)

    def record(self, version: Version) -> None:
        """Write down that a version is whole."""
        text = json.dumps(asdict(version), indent=1)
        write_atomically(self.folder_of(version) / _RECORD, text, 0o644)

    def take(self, version: Version) -> None:
        """Give new kernels this version, in one step; kernels that run keep theirs."""
        link = self.folder / f".{CURRENT}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("versions") / str(version.number))
        link.replace(self.folder / CURRENT)

    def discard(self, folder: Path) -> None:
        """Remove a version that was begun and did not become one."""
        remove(folder)

    def prune(self) -> list[int]:
        """Remove what is older than the last few; return the numbers.

        The current one always stays, and so does one that a process uses, until this is called without such a process.
        """
        current = self.current()
        old = [one for one in self.all()[:-KEPT] if current is None or one.number != current.number]
        used = using.users(map(self.folder_of, old))
        gone = [one for one in old if self.folder_of(one) not in used]
        for one in gone:
            (self.folder_of(one) / _RECORD).unlink()  # from here on it is none, whatever happens
            remove(self.folder_of(one))
        return [one.number for one in gone]

    def before(self, number: int | None) -> Version:
        """Return version `number`, or without one the newest that is older than the current.

        Raises:
            Refused: there is none.
        """
        current, known = self.current(), self.all()
        if number is None:
            older = [one for one in known if current and one.number < current.number]
            found = older[-1] if older else None
        else:
            found = next((one for one in known if one.number == number), None)
        if found is None:
            kept = ", ".join(str(one.number) for one in known) or "none"
            raise Refused(
                f"There is no version {'before this one' if number is None else number} of {self.name}.",
                remedy=f"Kept: {kept}.",
            )
        return found

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the environment against another build.

        Raises:
            Refused: one is under way.
        """
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        except BlockingIOError:
            other = os.read(descriptor, 20).decode() or "another process"
            raise Refused(f"{self.name} is just being built, by process {other}.", remedy="Wait for it.") from None
        finally:
            os.close(descriptor)

    def _read(self, path: Path) -> Version | None:
        try:
            told: dict[str, Any] = json.loads(path.read_text())
            return Version(**{**told, "preload": tuple(told.get("preload", ()))})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise MachineError(f"cannot be read: {error}.", where=str(path)) from error


def remove(path: Path) -> None:
    """Remove a folder, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
