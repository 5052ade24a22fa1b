"""An account without any rights, which runs what packages bring, so that root and the hub never do."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from hubwright.machine.accounts import ensure_system_account

ACCOUNT = "hubwright-build"
"""In no group but its own; it owns nothing that stays."""


def identity() -> dict[str, Any]:
    """Return how a process is started that may do nothing here: for `subprocess`. Without root it is whoever asks.

    It has no terminal: who has root's could type into it.
    """
    alone: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    if os.geteuid() == 0:
        ensure_system_account(ACCOUNT)
        alone |= {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []}
    return alone
