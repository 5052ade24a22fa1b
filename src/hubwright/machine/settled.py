"""Where a path leads when nobody but root can change that: for what root mounts, or has mounted, for others."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from hubwright.errors import Refused

MEND = "An administrator can name another in hub.yaml, on whose way all folders are root's alone."
_MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""


def settle(path: Path) -> Path:
    """Return where `path` leads, without a link in it.

    Every folder that is passed, along links too, must be root's and writable by nobody else: then only root can put
    something else, such as a link, in the place of any component, the last one included. What the path leads to may be
    anybody's. Since no folder can change, looking at one component after the other is as good as at all at once.

    Raises:
        Refused: somebody else could lead it elsewhere.
        OSError: it is not there, or cannot be looked at.
    """
    at, left, links = Path("/"), list(path.absolute().parts[1:]), 0
    while left:
        if why := changeable(at):
            raise Refused(
                f"{path} could be led elsewhere: {why}.",
                remedy=MEND,
            )
        if (step := left.pop(0)) == "..":
            at = at.parent
        elif stat.S_ISLNK((at / step).lstat().st_mode):
            if (links := links + 1) > _MOST_LINKS:
                raise Refused(f"{path} leads through too many links.", remedy="Name the folder itself.")
            target = PurePosixPath((at / step).readlink())
            at = Path("/") if target.is_absolute() else at
            left = [*(part for part in target.parts if part != "/"), *left]
        else:
            at = at / step
    return at


def changeable(folder: Path) -> str:
    """Return why somebody else than root can change what is in a folder; "" when nobody can."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is not a folder"
    if found.st_uid:
        return f"{folder} belongs to user id {found.st_uid}, not to root"
    return f"{folder} can be written by others than root" if found.st_mode & 0o022 else ""
