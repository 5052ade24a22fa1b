"""What is not as `people.shared` says: folders that people change together, read, or hand their work in by."""

from __future__ import annotations

import grp
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from hubwright.care.people.step import Change, Step
from hubwright.errors import MachineError
from hubwright.fields import format_bytes
from hubwright.machine.accounts import USERS_GROUP, ensure_group
from hubwright.machine.policy import find_account
from hubwright.people import projects, quota, shared
from hubwright.people.config import SharedFolder

_ROOT = 0
_NOT_YET = 2**32 - 2
"""An id that nothing has, for a group or account that earlier steps make."""


def steps(wanted: SharedFolder, members: Sequence[str], notes: list[str]) -> Iterator[Step]:
    """Yield what is to be done for a folder; what it cannot be on its file system goes to `notes`.

    Args:
        members: who is in its group; where it is everybody's, everybody.

    Raises:
        HubwrightError: it cannot be shared as it is.
    """
    folder = Path(wanted.folder)
    found = shared.look(folder)
    words = {"write": "shared by", "read": "to be read by", "drop": "where work is handed in by"}
    text = f"{words[wanted.access]} {wanted.group or 'everybody'}"
    if not _right(wanted).is_held(found):
        change: Change = "change" if found.exists else "add"
        yield Step("folder", change, str(folder), text, partial(_share, wanted))
    elif not found.keeps:
        notes.append(f"{folder}: {shared.NO_ACL}.")
    if wanted.access != "drop":
        return
    for name in members:
        own = folder / name
        there = shared.look(own, folder) if found.exists else shared.Found(False)
        if not _dropped(wanted, name).is_held(there):
            change = "change" if there.exists else "add"
            yield Step("folder", change, str(own), f"where {name} hands in", partial(_share_own, wanted, name))


def sizes(wanted: SharedFolder, every: Sequence[SharedFolder], notes: list[str]) -> Iterator[Step]:
    """Yield what is to be done for how much a folder may take; where its file system keeps no quotas, `notes` tell.

    A limit that root has set for a project of his own stays when hub.yaml names none.

    Args:
        every: all shared folders, no two of which are to be one project.
    """
    folder = Path(wanted.folder)
    project = projects.own_project(folder)
    if wanted.quota is None and project not in projects.NUMBERS:
        return
    mount = quota.find(folder, kind="project")
    if isinstance(mount, str):
        if wanted.quota is not None:
            notes.append(f"The quota of {folder} has no effect: {mount}.")
        return
    size = quota.rounded(wanted.quota) if wanted.quota else None
    if not project or quota.limits_of_projects(mount).get(project) != size:
        text = f"may take {format_bytes(size)} together" if size else "may take what there is"
        yield Step("quota", "change", str(folder), text, partial(_set_size, folder, size, every, mount))


def _set_size(folder: Path, size: int | None, every: Sequence[SharedFolder], mount: quota.Mount) -> str:
    """Count a folder as a whole, and limit it; the limit is last, so that a kill before leaves it to be done."""
    taken = {projects.own_project(Path(one.folder)) for one in every}
    project = projects.own_project(folder) or projects.free(taken, mount)
    projects.mark(folder, project)
    quota.set_limit(str(project), size, mount, "project")
    return ""


def _right(wanted: SharedFolder) -> shared.Right:
    gid = _gid(wanted.group or USERS_GROUP)
    if wanted.access == "write":
        return shared.to_write(gid, wanted.group is None)
    return (shared.to_read if wanted.access == "read" else shared.to_drop)(gid, _keepers(wanted))


def _dropped(wanted: SharedFolder, name: str) -> shared.Right:
    account = find_account(name)
    return shared.dropped(account.pw_uid if account else _NOT_YET, _keepers(wanted))


def _keepers(wanted: SharedFolder) -> int:
    return _gid(wanted.keepers) if wanted.keepers else _ROOT


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return _NOT_YET


def _share(wanted: SharedFolder) -> str:
    if wanted.group is None:
        ensure_group(USERS_GROUP)
    folder = Path(wanted.folder)
    shared.ensure(folder, _made(_right(wanted), folder))
    return "" if shared.look(folder).keeps else shared.NO_ACL


def _share_own(wanted: SharedFolder, name: str) -> str:
    above = Path(wanted.folder)
    shared.ensure(above / name, _made(_dropped(wanted, name), above / name), above)
    return ""


def _made(right: shared.Right, folder: Path) -> shared.Right:
    """Return it, when all whom it names are there.

    Raises:
        MachineError: an earlier step has failed.
    """
    if _NOT_YET in right.ids:
        raise MachineError("is for a group or a person that could not be made.", where=str(folder))
    return right
