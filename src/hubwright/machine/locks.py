"""Waiting for a lock of a file (flock(2)); it ends with the process, however that ends. Standard library only."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


@contextmanager
def held(path: Path, patience: float) -> Iterator[bool]:
    """Hold the lock of a file, made when it is not there, until the block ends; give whether it was to be had."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield take(descriptor, patience)
    finally:
        os.close(descriptor)
