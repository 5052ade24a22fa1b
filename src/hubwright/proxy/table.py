"""The routing table on disk: what Caddy looks at for every request, and only the hub writes.

Nothing is fsynced: the table lies on tmpfs, and the hub's route check rebuilds what is missing. Each operation is a few
system calls (a fraction of a millisecond), so it may run in the hub's loop.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.errors import HubwrightError, MachineError
from hubwright.proxy.names import file_of, folder_of, target_of

_GLOB = frozenset("*?[]{}\\")


@dataclass(frozen=True)
class Route:
    """A route as JupyterHub gave it."""

    routespec: str
    target: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Damaged:
    """An entry that no route can be read from."""

    path: Path
    why: str


class Table:
    """The routes below one folder; one process writes, any may read."""

    def __init__(self, root: Path, servers: Path, base_url: str) -> None:
        self.root = check_root(root)
        self.servers = servers
        self.base_url = base_url

    def add(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        """Add a route or replace its target; a request finds the old target or the new one, never none.

        `Refused` for a name or target that cannot be; `MachineError` when it cannot be written: the old one then stays.
        """
        folder = self.root / folder_of(routespec, self.base_url)
        name = file_of(target, str(self.servers))
        content = json.dumps({"routespec": routespec, "target": target, "data": data})
        fresh = self.root / f".new-{os.getpid()}"
        try:
            self._write(fresh, content)
            for old in self._make(folder, name):
                old.rename(folder / name)
            fresh.rename(folder / name)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            _remove_if_empty(folder)
            raise MachineError(
                f"The route {routespec} cannot be written: {error.strerror}.",
                where=str(self.root),
                remedy="Make room on that file system; the hub then adds the route by itself.",
            ) from error

    def delete(self, routespec: str) -> None:
        """Remove a route; one that is not there is no error."""
        self._remove(self.root / folder_of(routespec, self.base_url))

    def get(self, routespec: str) -> Route | None:
        """Return one route, None when it is not there or damaged."""
        found = self._read(self.root / folder_of(routespec, self.base_url))
        return found if isinstance(found, Route) else None

    def entries(self) -> Iterator[Route | Damaged]:
        """Yield every route, and every entry that is none; safe beside a writer, in another thread too."""
        try:
            folders = sorted(os.scandir(self.root), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for folder in folders:
            if not folder.name.startswith("."):
                found = self._read(Path(folder.path))
                if found is not None:
                    yield found

    def sweep(self, suspects: Iterable[Path]) -> list[Damaged]:
        """Remove and return those of the suspect entries that are still damaged, so that Caddy cannot follow them."""
        damaged = [found for path in suspects if isinstance(found := self._read(path), Damaged)]
        for entry in damaged:
            self._remove(entry.path)
        return damaged

    def _write(self, path: Path, content: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)

    def _make(self, folder: Path, name: str) -> list[Path]:
        """Make the route's folder; return at most one file in it, an old target that now has to be renamed."""
        try:
            folder.mkdir(mode=0o700)
            return []
        except FileExistsError:
            if folder.is_symlink() or not folder.is_dir():
                folder.unlink()
                folder.mkdir(mode=0o700)
        files: list[Path] = []
        others: list[Path] = []
        for path in sorted(folder.iterdir()):
            (others if path.is_symlink() or not path.is_file() else files).append(path)
        kept = next((path for path in files if path.name == name), files[0] if files else None)
        for path in files + others:
            if path != kept:
                _discard(path)
        return [kept] if kept and kept.name != name else []

    def _remove(self, path: Path) -> None:
        """Remove an entry, its files first, so that it stops routing at once."""
        try:
            if path.is_dir() and not path.is_symlink():
                for inner in list(path.iterdir()):
                    _discard(inner)
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise MachineError(f"A route cannot be removed: {error.strerror}.", where=str(path)) from error

    def _read(self, folder: Path, attempts: int = 10) -> Route | Damaged | None:
        """Read an entry, again when a writer was in between; None when it is gone."""
        for attempt in range(attempts):
            if attempt > 1:
                time.sleep(0.001 * attempt)  # a busy writer gets to the end of what it does
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - a third of the time of iterdir, 5,000 times
                if len(names) != 1:
                    why = "it holds no target" if not names else "it holds more than one target"
                    found: Route | Damaged = Damaged(folder, why)
                else:
                    found = self._parse(folder, names[0])
            except (FileNotFoundError, NotADirectoryError):
                if not os.path.lexists(folder):
                    return None
                found = Damaged(folder, "it is not a folder with a file")
            except OSError as error:
                found = Damaged(folder, f"it cannot be read: {error.strerror}")
            if isinstance(found, Route):
                return found
        return found

    def _parse(self, folder: Path, name: str) -> Route | Damaged:
        """Read one file. Its name is what counts: the content is older while a target is being replaced."""
        try:
            with open(folder / name, encoding="utf-8") as file:
                content = json.load(file)
            routespec, target, data = str(content["routespec"]), str(content["target"]), dict(content["data"])
            if folder_of(routespec, self.base_url) != folder.name:
                return Damaged(folder, "its content and its name differ")
            if file_of(target, str(self.servers)) != name:
                target = target_of(name, str(self.servers))
        except (ValueError, TypeError, KeyError, HubwrightError) as error:
            return Damaged(folder, f"its content is no route ({type(error).__name__})")
        return Route(routespec, target, data)


def check_root(root: Path) -> Path:
    """Return the table's folder if Caddy can search below it: its path is part of a pattern."""
    if not root.is_absolute() or not _GLOB.isdisjoint(str(root)):
        raise MachineError(
            "The routing table cannot lie here.",
            where=str(root),
            remedy="Use an absolute path without * ? [ ] { } and \\.",
        )
    return root


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
