"""Who may enter an environment's folder, and so read whatever is below: everybody, or the members of its groups."""

from __future__ import annotations

import errno
import grp
import os
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.kinds import KindConfig
from hubwright.machine import acl
from hubwright.machine.accounts import READERS, ensure_group


def groups_of(config: KindConfig) -> tuple[str, ...] | None:
    """Return the groups that may see an environment; None when everybody may."""
    return getattr(getattr(config, "allow", "all"), "groups", None)


def let_in(name: str, config: KindConfig, site: Site) -> None:
    """Let in who may see an environment, its folder is made when it is not there; as often as one likes.

    The accounts that build and try new versions are let in, too.

    Raises:
        MachineError: a group is unknown, or the file system keeps no ACLs.
    """
    folder, groups = site.environments / name, groups_of(config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if groups is None or not site.privileged:
        _drop_list(folder)
        return
    try:
        gids = [grp.getgrnam(group).gr_gid for group in groups]
    except KeyError as error:
        raise MachineError(
            f"this machine has no group {error.args[0].rpartition(' ')[2]}.",
            where=f"environments.{name}.allow.groups",
            remedy="Make it, or name another.",
        ) from error
    gids.append(ensure_group(READERS))
    try:
        os.setxattr(folder, acl.ACCESS, acl.pack(owner=7, group=0, other=0, groups=gids, named=5))
    except OSError as error:
        raise MachineError(f"cannot be opened to groups: {error.strerror}.", where=str(folder)) from error


def _drop_list(folder: Path) -> None:
    try:
        os.removexattr(folder, acl.ACCESS)
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP}:
            raise
    folder.chmod(0o755)
