"""Whether a kernel works: it is started as a notebook would, imports what it is told, and runs a cell.

A program of its own (`python -m hubwright.envs.proving KERNEL_FOLDER CELL...`), so that it runs as an account without
rights: what packages do when they are imported is not the service's word.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import time
from pathlib import Path
from typing import Any

CELL, RESULT = "6*7", "42"
_PATIENCE = 180.0


def prove(folder: Path, cells: list[str]) -> str:
    """Start the kernel whose kernelspec is in `folder`; return what is wrong with it, "" when it works.

    `cells` run first, and must raise no error.
    """
    from jupyter_client.manager import KernelManager

    spec = json.loads((folder / "kernel.json").read_text())
    manager = KernelManager(kernel_name="", transport="ipc", connection_file=str(Path.cwd() / "kernel.json"))
    manager._kernel_spec = _spec(spec, folder)
    with (Path.cwd() / "log").open("wb") as log:
        manager.start_kernel(stdout=log, stderr=log)
        client = manager.client()
        client.start_channels()
        try:
            return _try(manager, client, cells)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def _spec(spec: dict[str, Any], folder: Path) -> Any:
    from jupyter_client.kernelspec import KernelSpec

    argv = [str(folder / Path(spec["argv"][0]).name), *spec["argv"][1:]]  # this version, not the current one
    return KernelSpec(**{**spec, "argv": argv}, resource_dir=str(folder))


def _try(manager: Any, client: Any, cells: list[str]) -> str:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            client.wait_for_ready(timeout=2)
            break
        except RuntimeError:
            if not manager.is_alive() or time.monotonic() > until:
                return f"the kernel did not start: {_end()}"
    for code, expected in [*((cell, None) for cell in cells), (CELL, RESULT)]:
        result, error = _run(client, code, until)
        if error or expected not in {None, result}:
            return f"`{code}` said {error or result or 'nothing'}"
    return ""


def _run(client: Any, code: str, until: float) -> tuple[str, str]:
    """Return what a cell results in, and the error that it raises."""
    asked = client.execute(code)
    result = ""
    while True:
        try:
            message = client.get_iopub_msg(timeout=max(0.1, until - time.monotonic()))
        except queue.Empty:
            return "", "nothing in time"
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind in {"execute_result", "display_data"}:  # the latter is R's
            result = content["data"].get("text/plain", "").removeprefix("[1] ")
        elif kind == "error":
            return "", f"{content['ename']}: {content['evalue']}"
        elif kind == "status" and content["execution_state"] == "idle":
            return result, ""


def _end() -> str:
    lines = (Path.cwd() / "log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


if __name__ == "__main__":
    os.umask(0o077)
    print(json.dumps({"wrong": prove(Path(sys.argv[1]), sys.argv[2:])}))
