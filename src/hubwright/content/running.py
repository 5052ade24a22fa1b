"""Running `hand` for one home, and hearing of it what became of each content."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hubwright.content.hand import Order
from hubwright.content.taking import lines
from hubwright.errors import MachineError

_SILENT = 300.0


def run(order: Order, tell: Callable[[dict[str, Any]], None] = lambda _: None) -> list[dict[str, Any]]:
    """Return what `hand.carry_out` returns; blocks, so not for the hub's loop.

    `tell` is called with `{"name": content, "files": n, "of": n}` about once a second.

    Raises:
        MachineError: the program failed, or is stuck.
    """
    if not order.jobs:
        return []
    argv = [sys.executable, "-I", "-m", "hubwright.content.hand"]
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"LANG": "C.UTF-8"}, cwd="/",
        pass_fds=[job.folder for job in order.jobs],
    )  # fmt: skip
    told: dict[str, Any] = {}
    try:
        for line in lines(child, asdict(order), _SILENT):
            told = line
            if "of" in line:
                tell(line)
    except MachineError as error:
        raise MachineError(error.problem.what, where=order.home, remedy=error.problem.remedy) from error
    if not told.get("done"):
        raise MachineError(f"{told.get('error') or 'The program that hands out has ended'}.", where=order.home)
    found: list[dict[str, Any]] = told["contents"]
    return found
