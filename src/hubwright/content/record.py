"""What a home was given, kept in the home itself: it is about its owner's own files, and his to lose. Standard library.

Whoever changes it changes what he gets of originals that he may have anyway. One that is damaged counts as none: then
a file that equals its original is in step, and any other is the owner's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hubwright.content.merge import Handed
from hubwright.content.naming import is_plain

FOLDER = ".local/share/hubwright/content"
"""Below the home: `NAME.json` of each content, and what is being written."""
LARGEST = 32 * 2**20
_MOST = 200_000


@dataclass
class Record:
    """What was handed out of one content."""

    target: str
    version: int = 0
    """The version of the originals that was handed out last."""
    whole: bool = False
    """Whether nothing of that was left to do."""
    files: dict[str, Handed] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return what is written."""
        files = {path: [one.base, one.offered] for path, one in sorted(self.files.items())}
        told = {"target": self.target, "version": self.version, "whole": self.whole, "files": files}
        return json.dumps(told, indent=0).encode("utf-8", "surrogatepass")


def decode(data: bytes, target: str) -> Record:
    """Return the record in a file; an empty one when it is damaged, or tells of another folder."""
    try:
        told: Any = json.loads(data)
        files = {
            path: Handed(base, offered)
            for path, (base, offered) in told["files"].items()
            if is_plain(path) and isinstance(base, str) and isinstance(offered, str)
        }
        if told["target"] == target and type(told["version"]) is int and len(files) <= _MOST:
            return Record(target, told["version"], told["whole"] is True, files)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return Record(target)


def is_due(record: Record, version: int) -> bool:
    """Whether a version of the originals is still to be handed out, in part at least.

    An older number is another version, too: of a service that was made anew.
    """
    return record.version != version or not record.whole
