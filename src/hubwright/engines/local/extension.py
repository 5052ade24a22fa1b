"""A server extension: keeps the activity of a computing kernel fresh, and says in words when memory ended a process."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop, PeriodicCallback

from hubwright.engines.local import answers, messages, notices, provisioner, sharing, shown
from hubwright.fields import format_bytes
from hubwright.machine.cgroups import count_oom_kills

MEMORY_PERIOD = 2.0
"""Seconds between looks at whether the kernel ended a process."""


def keep_busy_fresh(server: Any) -> None:
    """Count a kernel that computes as active now, also when it says nothing; the idle culler looks only at that."""
    kernels = server.kernel_manager
    for kernel_id in kernels.list_kernel_ids():
        kernel = kernels.get_kernel(kernel_id)
        if getattr(kernel, "execution_state", "") == "busy":
            kernel.last_activity = kernels.last_kernel_activity = datetime.now(UTC)


class MemoryWatch:
    """Tells the user when the Linux kernel ended one of his processes at his memory limit."""

    def __init__(self, server: Any, file: Path, limit: int) -> None:
        self.server = server
        self.file = file
        self.limit = limit
        self.seen = count_oom_kills(file)

    def look(self) -> None:
        """Emit a notice for what was ended since the last look."""
        count = count_oom_kills(self.file)
        new, self.seen = count - self.seen, max(count, self.seen)
        if new > 0:
            self.server.event_logger.emit(schema_id=notices.NOTICE, data={"message": self.words(new), "level": "error"})

    def words(self, count: int) -> str:
        """Return the notice for `count` processes; JupyterLab shows 140 characters of it."""
        what = "One of your processes was" if count == 1 else f"{count} of your processes were"
        return (
            f"{what} ended: together your notebooks and terminals reached the memory limit of "
            f"{format_bytes(self.limit)}. Your files are untouched."
        )


def without_builds(server: Any) -> None:
    """Spare JupyterLab the question whether it should be built anew, which takes half a second; nobody can build it."""
    server.web_app.settings.setdefault("page_config_data", {}).update(buildAvailable=False, buildCheck=False)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubwright.engines.local.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    told = notices.Notices(server)
    provisioner.configure(server, told.tell)
    for sentence in getattr(server, "left_out", ()):
        told.tell(sentence)
    reported = float(os.environ.get("JUPYTERHUB_ACTIVITY_INTERVAL") or 300)
    PeriodicCallback(lambda: keep_busy_fresh(server), reported * 1000 / 3).start()
    answers.install(server.web_app)
    IOLoop.current().add_callback(without_builds, server)  # once JupyterLab has loaded and set it
    IOLoop.current().add_callback(sharing.install, server.web_app.settings)
    shown.add(server)
    file, limit = os.environ.get("HUBWRIGHT_OOM_FILE"), os.environ.get("MEM_LIMIT")
    if os.environ.get("HUBWRIGHT_MESSAGES"):
        PeriodicCallback(messages.Messages(server).look, messages.EVERY * 1000, jitter=0.2).start()
    if file and limit:
        PeriodicCallback(MemoryWatch(server, Path(file), int(limit)).look, MEMORY_PERIOD * 1000).start()
