"""Proportional set sizes: a shared page counts in equal parts for each process that maps it (proc(5), smaps_rollup)."""

from __future__ import annotations

import pwd
import time
from collections import Counter
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


def incomplete(names: list[str]) -> list[str]:
    """Return the users who have fewer processes than the others: a kernel, or the whole server, was lost."""
    count = Counter(process.uids().real for process in of_users(names))
    whole = max(count.values(), default=0)
    return [name for name in names if count[pwd.getpwnam(name).pw_uid] < whole]


def wait_until_merged(scans: int = 4, patience: float = 1500) -> None:
    """Wait until Linux has looked at all memory `scans` times: once to know each page, then to see which are calm."""
    done = Path("/sys/kernel/mm/ksm/full_scans")
    wanted, deadline = int(done.read_text()) + scans, time.monotonic() + patience
    while int(done.read_text()) < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"Linux did not scan the memory {scans} times in {patience:.0f} s.")
        time.sleep(1)
