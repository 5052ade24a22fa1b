"""GPUs, where `nvidia-smi` is: how busy they are, and which server holds how much of their memory."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from hubwright.metrics.totals import Gpu

_EVERY = 15.0
_TAKES = 10.0
_MIB = 2**20
_GPUS = "--query-gpu=name,utilization.gpu,memory.used,memory.total"
_PROCESSES = "--query-compute-apps=pid,used_gpu_memory"
_FORMAT = "--format=csv,noheader,nounits"


def program() -> str | None:
    """Return where `nvidia-smi` is; None on a machine without."""
    return shutil.which("nvidia-smi", path="/usr/local/bin:/usr/bin:/bin")


def watch(nvidia_smi: str, stop: threading.Event, tell: Callable[[tuple[Gpu, ...], Mapping[str, int]], None]) -> None:
    """Ask every 15 s until told to stop; the body of a thread of its own. `tell` gets what `look` returns."""
    while True:
        tell(*look(nvidia_smi))
        if stop.wait(_EVERY):
            return


def look(nvidia_smi: str, proc: Path = Path("/proc")) -> tuple[tuple[Gpu, ...], dict[str, int]]:
    """Return the GPUs, and bytes of their memory by every part of the names of the control groups that hold it."""
    gpus = []
    for words in _ask(nvidia_smi, _GPUS):
        name, busy, memory, total = words if len(words) == 4 else ("", "", "", "")
        if memory.isdigit() and total.isdigit():
            gpus.append(Gpu(name, int(busy) / 100 if busy.isdigit() else 0.0, int(memory) * _MIB, int(total) * _MIB))
    held: dict[str, int] = {}
    for words in _ask(nvidia_smi, _PROCESSES) if gpus else ():
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            for part in _groups(proc / words[0] / "cgroup"):
                held[part] = held.get(part, 0) + int(words[1]) * _MIB
    return tuple(gpus), held


def _ask(nvidia_smi: str, query: str) -> list[list[str]]:
    try:
        command = [nvidia_smi, query, _FORMAT]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TAKES, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines()]


def _groups(path: Path) -> set[str]:
    """Return the names of all groups that a process is in, from its /proc/PID/cgroup."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return set()
    return {part for line in lines for part in line.split(":", 2)[-1].split("/") if part}
