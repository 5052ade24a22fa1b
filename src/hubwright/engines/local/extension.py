"""A server extension: keeps the activity of a computing kernel fresh, and says in words when memory ended a process."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tornado.ioloop import PeriodicCallback

BUSY_PERIOD = 30.0
"""Seconds between looks at which kernels compute."""


def keep_busy_fresh(server: Any) -> None:
    """Count a kernel that computes as active now, also when it says nothing; the idle culler looks only at that."""
    kernels = server.kernel_manager
    for kernel_id in kernels.list_kernel_ids():
        kernel = kernels.get_kernel(kernel_id)
        if getattr(kernel, "execution_state", "") == "busy":
            kernel.last_activity = kernels.last_kernel_activity = datetime.now(UTC)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubwright.engines.local.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    PeriodicCallback(lambda: keep_busy_fresh(server), BUSY_PERIOD * 1000).start()
