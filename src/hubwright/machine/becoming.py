"""Becoming an ordinary account for good, for a child of root's that works in somebody's home. Standard library only."""

from __future__ import annotations

import os
import resource

_FIRST_PERSON, _NOBODY = 1000, 65534


class Root(Exception):
    """This is no ordinary account, or this process is another's."""


def become(name: str, uid: int, gid: int) -> None:
    """Become an account, its groups included; without root's rights, be it already.

    A process that was root stays untraceable by that account (prctl(2), PR_SET_DUMPABLE), and writes no core.

    Raises:
        Root: the account is root's or the system's, or this is not its process.
    """
    if os.geteuid() == 0:
        if not _FIRST_PERSON <= uid != _NOBODY:
            raise Root("this is only for homes of ordinary accounts")
        os.initgroups(name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if os.geteuid() != uid or 0 in os.getresuid():
        raise Root("this is only for homes of ordinary accounts")
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
