"""How a zygote is started: an account without rights, a machine that cannot be written to, and no network.

What packages do when they are imported happens there. Of root's power the zygote keeps what it takes to become a
user: none of that is in effect while it imports, but a package that means to can take it up: see docs/security.md.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from hubwright.engines.local import launch
from hubwright.engines.local.zygotes.terms import CHANNEL, POWERS
from hubwright.machine import capabilities, keyring, mounts, namespaces

_SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 (a file system of its own there)
_BACKEND = "module://matplotlib_inline.backend_inline"
"""What ipykernel sets before the first cell can import matplotlib."""
_QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # debugpy need not warn the log about frozen modules
_SIZE, _FILES = 64 * 2**20, 4096


def execute(argv: list[str], account: str, groups: list[int], variables: Mapping[str, str]) -> NoReturn:
    """Become the zygote that `argv` starts; for a child that was just forked, with one thread. `OSError` when not.

    Args:
        argv: its program.
        account: whose rights it has.
        groups: what it is a member of besides, so that it may read its environment.
        variables: what its environment sets, and modules may read when they are imported.

    Of its descriptors only output, and `CHANNEL`, stay open.
    """
    who = pwd.getpwnam(account)
    launch.default_signals()
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.closerange(CHANNEL + 1, 2**20)
    keyring.join_new()
    namespaces.leave_network_and_mounts()
    for place in _SCRATCH:
        if why := mounts.mount_memory(Path(place), size=_SIZE, inodes=_FILES, uid=who.pw_uid, gid=who.pw_gid):
            raise OSError(why)
    namespaces.make_read_only()
    for place in _SCRATCH:
        namespaces.make_writable(os.fsencode(place))
    os.setgroups(groups)
    os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
    capabilities.keep_over_change_of_identity()
    os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)
    capabilities.have(POWERS, effective=True, kept=True)
    path = f"{Path(argv[0]).parent}:{os.defpath}"
    env = {"MPLBACKEND": _BACKEND, **_QUIET, **variables, "HOME": _SCRATCH[0], "PATH": path, "LANG": "C.UTF-8"}
    os.execve(argv[0], argv, env)  # noqa: S606 (no shell)
