"""Proportional set sizes: a shared page counts in equal parts for each process that maps it (proc(5), smaps_rollup)."""

from __future__ import annotations

import pwd
from pathlib import Path

import psutil


def pss(process: psutil.Process) -> int:
    """Return a process's proportional set size in bytes; 0 when it has ended meanwhile."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def of_users(names: list[str]) -> list[psutil.Process]:
    """Every process that runs as one of these accounts, whoever its parent is."""
    uids = {pwd.getpwnam(name).pw_uid for name in names}
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real in uids and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found
