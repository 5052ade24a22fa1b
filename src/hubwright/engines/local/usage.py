"""Where the servers of the local engine are counted: groups `user.<uid>/<key>` in one of two places, or processes."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.errors import NotRunning
from hubwright.fields import Site
from hubwright.machine import wire
from hubwright.machine.room import OPEN
from hubwright.machine.usage import Names, Running

_ANSWER = 2.0
"""Seconds the fork server has to answer."""
_SWEEP = 60.0
"""Seconds between two looks at every folder, changed or not."""
_PATIENCE = (0.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds until a name is asked for once more; a group without a name is what a server that ended has left."""
_AT_ONCE = 1000


@dataclass
class _User:
    """One folder `user.<uid>` or `open/user.<uid>`, see `machine.room`."""

    links: int = -1
    """How many links it had at the last look: two, and one for each folder in it (kernfs counts them)."""
    servers: dict[str, int] = field(default_factory=dict)
    """Key to inode of each server's folder."""


@dataclass
class _Tree:
    """Where groups are, as the fork server says."""

    version: int
    mounts: dict[str, Path]
    base: str

    @property
    def folder(self) -> Path:
        """The one that is looked at; the others follow it."""
        return (self.mounts.get("memory") or next(iter(self.mounts.values()))) / self.base


class LocalSource:
    """Looks at folders' link counts, scans those that changed, and asks the fork server for names it does not know."""

    def __init__(self, site: Site, names: Names) -> None:
        self._socket = site.fork_socket
        self._names = names
        self._tree: _Tree | None = None
        self._users: dict[str, _User] = {}
        self._base = _User()
        self._swept = 0.0
        self._asked: dict[str, tuple[int, float]] = {}
        """Key without a name to how often it was asked for, and when it may be again."""
        self._found: Mapping[str, Running] = {}

    def running(self, lost: Collection[str]) -> Mapping[str, Running]:
        """Return every server; see `machine.usage.Source`."""
        if self._tree is None:
            answer = self._ask(())
            self._tree = _Tree(answer["version"], {k: Path(v) for k, v in answer["mounts"].items()}, answer["base"])
        if not self._tree.mounts:
            return self._processes(self._ask(None)["servers"])
        changed = self._scan(self._tree.folder, set(lost))
        missing = self._unnamed()
        if missing:
            self._learn(missing)
            changed = True
        if changed:
            self._found = dict(self._groups(self._tree))
        return self._found

    def _ask(self, keys: Iterable[str] | None) -> dict[str, Any]:
        request: dict[str, Any] = {"op": "groups"}
        if keys is not None:
            request["keys"] = list(keys)
        answer = wire.call(self._socket, request, timeout=_ANSWER)
        if not answer.get("ok"):
            raise NotRunning("The fork server does not say whose groups there are.", where=str(self._socket))
        return answer

    def _processes(self, servers: Mapping[str, Any]) -> Mapping[str, Running]:
        found = {
            key: Running(user, server, f"{pid}-{started}", pid=pid)
            for key, (user, server, pid, started) in servers.items()
        }
        if found != self._found:
            self._found = found
        return self._found

    def _scan(self, folder: Path, lost: set[str]) -> bool:
        """Look at the folders; whether the servers in them are others than before."""
        now = time.monotonic()
        everything = now - self._swept >= _SWEEP
        if everything:
            self._swept = now
        try:
            opened = folder / OPEN  # there where servers without a reserve have a group of their own
            links = folder.stat().st_nlink + (opened.stat().st_nlink << 32 if opened.is_dir() else 0)
            if everything or lost or links != self._base.links:
                names = {name for name, _ in _folders(folder) if name.startswith("user.")}
                if opened.is_dir():
                    names |= {f"{OPEN}/{name}" for name, _ in _folders(opened) if name.startswith("user.")}
                self._base.links = links
            else:
                names = set(self._users)
        except FileNotFoundError:  # no server was started yet, or the whole tree was given back
            changed = bool(self._users)
            self._users.clear()
            self._tree = None if changed else self._tree
            return changed
        changed = names != set(self._users)
        self._users = {name: self._users.get(name) or _User() for name in names}
        for name, user in self._users.items():
            place = folder / name
            try:
                links = os.stat(place).st_nlink  # noqa: PTH116 (half the time of Path's)
                if not everything and links == user.links and not (lost and lost & user.servers.keys()):
                    continue
                servers = dict(_folders(place))
            except FileNotFoundError:
                links, servers = -1, {}
            changed = changed or servers != user.servers
            user.links, user.servers = links, servers
        return changed

    def _unnamed(self) -> list[str]:
        now = time.monotonic()
        keys = [key for user in self._users.values() for key in user.servers if key not in self._names]
        if not keys:
            self._asked.clear()
        return [key for key in keys if self._asked.get(key, (0, 0.0))[1] <= now]

    def _learn(self, keys: list[str]) -> None:
        for first in range(0, len(keys), _AT_ONCE):
            part = keys[first : first + _AT_ONCE]
            for key, (user, server, *_) in self._ask(part)["servers"].items():
                self._names[key] = (user, server)
        for key in keys:
            if key not in self._names:
                tries = self._asked.get(key, (0, 0.0))[0] + 1
                self._asked[key] = (tries, time.monotonic() + _PATIENCE[min(tries, len(_PATIENCE) - 1)])

    def _groups(self, tree: _Tree) -> Iterable[tuple[str, Running]]:
        for name, user in self._users.items():
            for key, inode in user.servers.items():
                if key in self._names:
                    folders = {kind: mount / tree.base / name / key for kind, mount in tree.mounts.items()}
                    yield key, Running(*self._names[key], str(inode), tree.version, folders)


def source(site: Site, names: Names) -> LocalSource:
    """Return where the servers of this engine are counted."""
    return LocalSource(site, names)


def _folders(place: Path) -> list[tuple[str, int]]:
    with os.scandir(place) as entries:
        return [(entry.name, entry.inode()) for entry in entries if entry.is_dir(follow_symlinks=False)]
