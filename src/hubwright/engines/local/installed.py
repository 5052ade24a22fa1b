"""What the packages of this environment offer by entry points, read once for all servers.

Reading it opens a file of each package, 12 ms a time; JupyterLab's page has a server do it three times as it opens.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Any

from jupyterlab_server import translation_utils


class Installed:
    """Entry points as they were, which they are until a package is installed or removed."""

    def __init__(self) -> None:
        self._found: Any = None
        self._seen: tuple[tuple[str, int], ...] = ()

    def prepare(self) -> None:
        """Read them; once, in the fork server."""
        self._seen, self._found = _look(), metadata.entry_points()

    def entry_points(self, **wanted: str) -> Any:
        """Return what importlib.metadata's function of this name does."""
        if self._found is None or _look() != self._seen:
            return metadata.entry_points(**wanted)
        return self._found.select(**wanted)


INSTALLED = Installed()


def prepare() -> None:
    """Read the entry points, and have servers that look for languages ask here; once, in the fork server."""
    INSTALLED.prepare()
    translation_utils.entry_points = INSTALLED.entry_points  # type: ignore[assignment, attr-defined]
    translation_utils.get_language_packs()  # which imports what it needs for that


def _look() -> tuple[tuple[str, int], ...]:
    """When something was last added to each folder that Python looks into, in nanoseconds."""
    seen = []
    for folder in sys.path:
        try:
            seen.append((folder, os.stat(folder or ".").st_mtime_ns))  # noqa: PTH116 (a third of the time)
        except OSError:
            continue
    return tuple(seen)
