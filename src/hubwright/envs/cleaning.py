"""What environments take of the disk, and what of it nobody needs."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hubwright.envs import building, cache
from hubwright.envs.versions import Version, Versions, remove
from hubwright.errors import Refused
from hubwright.fields import Site
from hubwright.machine import disk, using
from hubwright.machine.using import User

_PATIENCE = 20.0
_OURS = {".cache", ".julia", ".own", ".python"}


@dataclass(frozen=True)
class Waste:
    """Something that may go."""

    what: str
    paths: tuple[Path, ...]
    name: str = ""
    """The environment that it belongs to; empty for what builds share."""
    versions: tuple[Version, ...] = ()
    """The versions that it is, where it is some."""
    users: tuple[User, ...] = ()
    """Processes that use it: it stays while there is one."""


def taken(folder: Path) -> int | None:
    """Return bytes that a folder takes on the disk; what several versions share counts once. None: not to be read."""
    try:
        return disk.count(folder, time.monotonic() + _PATIENCE)[0]
    except OSError:
        return None


def find(names: Collection[str], site: Site, versions: bool) -> Iterator[Waste]:
    """Yield what may go: downloads, what builds left that were killed, and environments that hub.yaml does not name.

    What of it a process uses is yielded by itself, with its users.

    Args:
        names: the environments of hub.yaml.
        site: this service.
        versions: whether those before the current ones are to go, too.
    """
    if not site.environments.is_dir():
        return
    if shared := tuple(sorted(path for path in cache.folder(site).glob("*") if path.is_dir())):
        yield Waste("what builds have downloaded", shared)
    folders = [path for path in sorted(site.environments.iterdir()) if path.is_dir() and path.name not in _OURS]
    used = using.users(path for folder in folders for path in folder.glob("versions/*"))
    for folder in folders:
        if folder.name not in names:
            what = f"{folder.name.removeprefix('.gone-')}, which hub.yaml does not name"
            users = {user for path, some in used.items() if path.is_relative_to(folder) for user in some}
            yield Waste(what, (folder,), folder.name, users=tuple(sorted(users)))
            continue
        known = Versions(folder)
        whole = {str(one.number) for one in known.all()}
        if half := tuple(sorted(path for path in (folder / "versions").glob("*") if path.name not in whole)):
            yield Waste(f"what a build of {folder.name} left that was broken off", half, folder.name)
        current = known.current()
        old = [one for one in known.all() if versions and current and one.number != current.number]
        if free := tuple(one for one in old if known.folder_of(one) not in used):
            numbers = ", ".join(str(one.number) for one in free)
            yield Waste(f"{folder.name}, version {numbers}", tuple(map(known.folder_of, free)), folder.name, free)
        for one in old:
            if users_ := used.get(path := known.folder_of(one)):
                yield Waste(f"{folder.name}, version {one.number}", (path,), folder.name, (one,), tuple(users_))


def clean(waste: Waste, site: Site) -> None:
    """Remove it.

    Raises:
        Refused: a build is under way that may need it, or a process uses it.
    """
    if not waste.name:
        with cache.alone(site):
            for path in waste.paths:
                remove(path)
        return
    known = Versions(site.environments / waste.name)
    with known.lock():
        whole = waste.paths == (known.folder,)
        if using.users(known.folder.glob("versions/*") if whole else waste.paths):
            raise Refused(f"Somebody uses {waste.what}, by now.", remedy="Run it again.")
        if whole:
            building.remove(waste.name, site)
            return
        current = known.current()
        if current and any(one.number == current.number for one in waste.versions):
            raise Refused(f"{waste.name} has been rolled back meanwhile.", remedy="Run it again.")
        for path in waste.paths:
            with suppress(FileNotFoundError):
                (path / "version.json").unlink()  # from here on it is no version
            remove(path)
