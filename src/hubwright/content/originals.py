"""One version of a content: its files in `tree/`, and what they are in `version.json`. Standard library only.

Root's alone, but for a process that was given the open folder: what is in it everybody may read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from hubwright.content.merge import Original
from hubwright.machine import opening

FILE, TREE = "version.json", "tree"


@dataclass(frozen=True)
class Version:
    """What was taken from a source at one time."""

    number: int
    taken: str
    """When, in ISO 8601, UTC."""
    source: str
    """Where it came from, in words."""
    files: Mapping[str, Original] = field(default_factory=dict)
    """Path to what is there."""
    left: tuple[str, ...] = ()
    """What is not handed out, with the reason."""
    commit: str = ""
    """Of a repository."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(one.size for one in self.files.values())

    def encode(self) -> str:
        """Return what is written."""
        files = {path: list(asdict(one).values()) for path, one in sorted(self.files.items())}
        told = {"number": self.number, "taken": self.taken, "source": self.source, "commit": self.commit}
        return json.dumps({**told, "left": list(self.left), "files": files}, indent=0)


def decode(data: bytes | str) -> Version:
    """Return the version in a file; ValueError, TypeError or KeyError when it is damaged."""
    told = json.loads(data)
    files = {path: Original(*values) for path, values in told["files"].items()}
    return Version(told["number"], told["taken"], told["source"], files, tuple(told["left"]), told["commit"])


def read(folder: int) -> Version:
    """Return the version in an open folder."""
    with open(os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        return decode(file.read())


def open_tree(folder: int) -> int:
    """Return a descriptor of the folder with the files, which the caller closes."""
    return os.open(TREE, opening.FOLDER, dir_fd=folder)
