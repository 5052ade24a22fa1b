"""What becomes of each file when originals meet a home: pure, and the one place where it is decided.

Paths are relative to the folder that the content goes to, with `/` between names. Three things are compared: the
original, what was handed out before (the record), and what is there. Whatever the owner of the home did stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from hubwright.content.naming import beside

EMPTY = sha256(b"").hexdigest()
"""The digest of a file with nothing in it: many have it, so that it tells nothing of a renamed one."""
MOST_COPIES = 100
"""Copies beside one file after which no other is put there."""
Kind = Literal["nothing", "file", "link", "folder", "other", "blocked"]
What = Literal["new", "update", "beside", "remove", "same", "edited", "deleted", "full"]
WRITES = frozenset({"new", "update", "beside", "remove"})


@dataclass(frozen=True)
class Original:
    """A file that is handed out, or a link (`link` is where it leads)."""

    digest: str
    size: int = 0
    executable: bool = False
    link: str = ""
    day: str = ""
    """Since when it is like this, as `2026-11-21`."""


@dataclass(frozen=True)
class Handed:
    """What a home was given for a path."""

    base: str
    """The digest of what was put there, or what was found there and equals it; "" when something else was there."""
    offered: str = ""
    """The digest of what was put beside it last."""


@dataclass(frozen=True)
class Found:
    """What is at a path of a home."""

    kind: Kind
    digest: str = ""
    """Of a file, or a link; "" for a file that cannot be read."""
    below: frozenset[str] | None = frozenset()
    """Of a folder, the paths of everything in it that is no folder; None when that is too much to look at."""
    by: str = ""
    """What is no folder on the way to a blocked path."""


NOTHING = Found("nothing")
Look = Callable[[str], Found]


@dataclass(frozen=True)
class Step:
    """What is done about one original, or about one file that was handed out."""

    what: What
    path: str
    """The original's path."""
    place: str
    """Where it is written or removed; the path itself but for copies."""
    after: Handed | None = None
    """What the record says of the path when it is done; None leaves it. What is removed is forgotten."""
    expected: str = ""
    """The digest of what is replaced or removed, which must still be there."""
    why: str = ""
    """In a word or two, where it is not plain."""


@dataclass(frozen=True)
class _View:
    """A home as it will be when the steps so far are done."""

    look: Look
    taken: frozenset[str]
    """Paths of originals, now or before: no copy is put there."""
    removed: set[str] = field(default_factory=set)
    written: dict[str, str] = field(default_factory=dict)
    """Digest of what will be at a place."""
    folders: dict[str, set[str]] = field(default_factory=dict)
    """What will be written below a folder."""

    def write(self, place: str, digest: str) -> None:
        """Note what will be there."""
        self.written[place] = digest
        for folder in _above(place):
            self.folders.setdefault(folder, set()).add(place)

    def __call__(self, path: str) -> Found:
        if path in self.written:
            return Found("file", self.written[path])
        if way := next((above for above in _above(path) if above in self.written), ""):
            return Found("blocked", by=way)
        found = self._now(path)
        if path in self.folders and found.kind in {"nothing", "folder"}:
            return Found("folder", below=None if found.below is None else found.below | self.folders[path])
        return found

    def _now(self, path: str) -> Found:
        if path in self.removed:
            return NOTHING
        found = self.look(path)
        if found.kind == "blocked" and found.by in self.removed:
            return NOTHING
        if found.kind == "folder" and found.below and found.below <= self.removed:
            return Found("folder")
        return found


def merge(
    originals: Mapping[str, Original], record: Mapping[str, Handed], look: Look, asked: frozenset[str] = frozenset()
) -> list[Step]:
    """Return what is to be done, in the order in which it is to be done.

    With `asked` (paths, or folders of them) only those are brought, also what was deleted, or is edited: then beside.
    """
    view = _View(look, frozenset((*originals, *record)))
    steps = [] if asked else list(_make_way(originals, record, view))
    moved = {} if asked else _renamed(originals, record)
    for path, original in sorted(originals.items()):
        before = record.get(path)
        if asked:
            more = [_bring(path, original, before, view)] if _is_asked(path, asked) else []
        elif before is None and (old := moved.get(path)):
            more = _follow(path, original, old, record[old].base, view)
        else:
            more = [_one(path, original, before, view)]
        for step in more:
            if step.what in {"new", "beside"}:
                view.write(step.place, original.digest)
        steps += more
    return steps


def _one(path: str, original: Original, before: Handed | None, view: _View) -> Step:
    found, digest = view(path), original.digest
    base, offered = (before.base, before.offered) if before else ("", "")
    done = Handed(digest)
    match found.kind:
        case "nothing" if not base and offered != digest:
            return Step("new", path, path, done)
        case "nothing" | "blocked" if base:
            return Step("deleted", path, path)
        case "file" | "link" if found.digest == digest:
            return Step("same", path, path, done)
        case "file" | "link" if base and found.digest == base:
            return Step("update", path, path, done, expected=base)
        case "folder" if before is None and found.below == frozenset():
            return Step("new", path, path, done, why="an empty folder was there")
    if digest in {base, offered}:
        return Step("edited", path, path)
    return _copy(path, original, Handed(base, digest), view, found)


def _bring(path: str, original: Original, before: Handed | None, view: _View) -> Step:
    """Bring an original that was asked for, whatever was before."""
    found = view(path)
    base = before.base if before else ""
    if found.kind == "nothing":
        return Step("new", path, path, Handed(original.digest))
    if found.kind in {"file", "link"} and found.digest == original.digest:
        return Step("same", path, path, Handed(original.digest))
    return _copy(path, original, Handed(base, original.digest), view, found)


def _copy(path: str, original: Original, after: Handed, view: _View, found: Found) -> Step:
    """Put an original beside what is there; where a folder on the way is none any more, beside that."""
    top = found.by or path
    for number in range(1, MOST_COPIES + 1):
        place = beside(top, original.day, number) + path[len(top) :]
        if not view.taken.isdisjoint({place, *_above(place)} - {*_above(top)}):  # what `top` is in is a folder by now
            continue
        there = view(place)
        if there.kind == "nothing":
            return Step("beside", path, place, after)
        if there.kind in {"file", "link"} and there.digest == original.digest:
            return Step("same", path, place, after, why="it is beside already")
    return Step("full", path, path, why=f"there are {MOST_COPIES} copies beside it")


def _make_way(originals: Mapping[str, Original], record: Mapping[str, Handed], view: _View) -> Iterator[Step]:
    """Remove unedited files that became folders, and unedited files of folders that became a file."""
    folders = {above for path in originals for above in _above(path)}
    for path in sorted(folders & record.keys() - originals.keys()):
        if (step := _gone(path, record, view)) is not None:
            yield step
    for path in sorted(originals):
        found = view.look(path)
        if found.kind != "folder" or not found.below or not found.below <= record.keys() - originals.keys():
            continue
        steps = [_gone(inner, record, view) for inner in sorted(found.below)]
        if all(steps):
            yield from (step for step in steps if step)
        else:
            view.removed.difference_update(found.below)


def _gone(path: str, record: Mapping[str, Handed], view: _View) -> Step | None:
    """Return the step that removes a file which is as it was handed out; None when it is not."""
    found, base = view.look(path), record[path].base
    if found.kind not in {"file", "link"} or not base or found.digest != base:
        return None
    view.removed.add(path)
    return Step("remove", path, path, expected=base, why="the original is a folder now, or was in one")


def _renamed(originals: Mapping[str, Original], record: Mapping[str, Handed]) -> dict[str, str]:
    """Return new path to old path of originals that were renamed: the same content, and only once on either side."""
    fresh = {path: one.digest for path, one in originals.items() if path not in record}
    gone = {path: one.base for path, one in record.items() if path not in originals and one.base}
    new, old = Counter(fresh.values()), Counter(gone.values())
    where = {digest: path for path, digest in gone.items()}
    once = {digest for digest in where if new[digest] == old[digest] == 1 and digest != EMPTY}
    return {path: where[digest] for path, digest in fresh.items() if digest in once}


def _follow(path: str, original: Original, old: str, base: str, view: _View) -> list[Step]:
    """Rename with the original what nobody has touched; what was deleted under its old name stays away."""
    found, target = view(old), view(path)
    if found.kind in {"file", "link"} and found.digest == base and target.kind == "nothing":
        why = f"renamed from {old}"
        return [
            Step("new", path, path, Handed(original.digest), why=why),
            Step("remove", old, old, expected=base, why=f"renamed to {path}"),
        ]
    if found.kind == "nothing" and old not in view.removed and target.kind == "nothing":
        return [Step("deleted", path, path, Handed(original.digest), why=f"as {old}")]
    return [_one(path, original, None, view)]


def _is_asked(path: str, asked: frozenset[str]) -> bool:
    return not asked.isdisjoint((path, *_above(path)))


def _above(path: str) -> list[str]:
    """Return the folders that a path is in, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
