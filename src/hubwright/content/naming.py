"""Names of what is put beside a file, and of what may be handed out at all; pure, standard library only."""

from __future__ import annotations

from pathlib import PurePosixPath

LONGEST = 255
"""Bytes of a name on every usual file system."""
_LONGEST_SUFFIX = 20
DEEPEST = 60
"""Folders in folders."""


def beside(path: str, day: str, number: int = 1) -> str:
    """Return the name of a copy beside `path`: `lesson (original of 2026-11-21).ipynb`; from 2 on with the number."""
    name = PurePosixPath(path).name
    suffix = PurePosixPath(path).suffix
    suffix = suffix if len(suffix) <= _LONGEST_SUFFIX else ""
    mark = f" (original of {day}{f', {number}' if number > 1 else ''})"
    stem = name[: len(name) - len(suffix)] if suffix else name
    room = LONGEST - len((mark + suffix).encode("utf-8", "surrogateescape"))
    while len(stem.encode("utf-8", "surrogateescape")) > room:
        stem = stem[:-1]
    return path[: len(path) - len(name)] + stem + mark + suffix


def is_plain(path: str) -> bool:
    """Whether a path stays where it begins: names with `/` between them, none of them empty, `.` or `..`."""
    parts = path.split("/")
    return (
        len(parts) <= DEEPEST
        and "\0" not in path
        and all(
            part not in {"", ".", ".."} and len(part.encode("utf-8", "surrogateescape")) <= LONGEST for part in parts
        )
    )


def leads_out(path: str, link: str) -> bool:
    """Whether a link at `path` leads out of the folder that all paths are relative to."""
    if link.startswith("/") or not link:
        return True
    depth = len(path.split("/")) - 1
    for part in link.split("/"):
        depth += -1 if part == ".." else 0 if part in {"", "."} else 1
        if depth < 0:
            return True
    return False
