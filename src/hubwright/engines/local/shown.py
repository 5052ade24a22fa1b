"""What the notebook page shows of its server's memory and processors: the figures of its control group.

jupyter-resource-usage adds up all processes' shares (PSS) in the server's event loop, which takes as long as those
processes have memory, and puts beside them a limit that counts otherwise. Its page gets the same words from here: what
the kernel counts against the limit, in 50 microseconds. Where the server has no control group, its own handler answers.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import authenticated

from hubwright.machine import cgroups

PATH = "/api/metrics/v1"
"""Where jupyter-resource-usage's page asks."""
_WARN = 0.1
"""The part of a limit that is left when the page warns, as jupyter-resource-usage has it."""


class Shown:
    """A server's own figures."""

    def __init__(self, group: cgroups.Group, environment: dict[str, str]) -> None:
        self._group = group
        self._memory = int(environment.get("MEM_LIMIT") or 0)
        self._cpu = float(environment.get("CPU_LIMIT") or 0)
        self._before: tuple[float, float] | None = None

    def read(self, now: float) -> dict[str, Any]:
        """Return what jupyter-resource-usage's page reads; processors are a mean since the last look."""
        usage = self._group.usage()
        before, self._before = self._before, (now, usage.cpu)
        passed = now - before[0] if before else 0.0
        percent = 100 * (usage.cpu - before[1]) / passed if before and passed > 0 else 0.0
        limits: dict[str, Any] = {"memory": {"rss": self._memory, "pss": self._memory}}
        if self._memory:
            limits["memory"]["warn"] = usage.memory > self._memory * (1 - _WARN)
        if self._cpu:
            limits["cpu"] = {"cpu": self._cpu, "warn": percent > 100 * self._cpu * (1 - _WARN)}
        return {
            "rss": usage.memory,
            "pss": usage.memory,
            "limits": limits,
            "cpu_percent": round(max(0.0, percent), 1),
            "cpu_count": os.cpu_count(),
        }


class ShownHandler(APIHandler):
    """`/api/metrics/v1` of a notebook server."""

    def initialize(self, shown: Shown) -> None:
        """Take the figures."""
        self._shown = shown

    @authenticated
    async def get(self) -> None:
        """Answer as jupyter-resource-usage does."""
        self.finish(json.dumps(self._shown.read(time.monotonic())))


def own_group(oom_file: str | None) -> cgroups.Group | None:
    """Return the group of this server, which is where the kernel counts its ended processes; None without one."""
    if not oom_file:
        return None
    hierarchy = cgroups.find("", to_read=True)
    memory = hierarchy.mounts.get("memory")
    folder = Path(oom_file).parent
    if memory is None or not folder.is_relative_to(memory):
        return None
    return cgroups.Group(hierarchy, str(folder.relative_to(memory)))


def add(server: Any) -> None:
    """Put the handler before that of jupyter-resource-usage, whose extension is loaded after ours."""
    if group := own_group(os.environ.get("HUBWRIGHT_OOM_FILE")):
        path = url_path_join(server.web_app.settings["base_url"], PATH)
        shown = Shown(group, dict(os.environ))
        server.web_app.add_handlers(".*$", [(path, ShownHandler, {"shown": shown})])
