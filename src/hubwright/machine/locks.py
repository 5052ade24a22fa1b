"""Waiting for a lock of a file (flock(2)); it ends with the process, however that ends. Standard library only."""

from __future__ import annotations

import fcntl
import time


def take(descriptor: int, patience: float, every: float = 0.1) -> bool:
    """Take the lock of an open file for this process alone; whether it was free within `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(every)
