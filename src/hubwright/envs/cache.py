"""What all builds share: downloads, and packages that are unpacked once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubwright.errors import Refused
from hubwright.fields import Site


def folder(site: Site) -> Path:
    """Return where builds keep what they share; it is root's alone."""
    return site.environments / ".cache"


@contextmanager
def shared(site: Site) -> Iterator[None]:
    """Use the cache, as other builds may at the same time; waits while it is being emptied."""
    with _locked(site, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(site: Site) -> Iterator[None]:
    """Keep every build away from the cache.

    Raises:
        Refused: one is under way.
    """
    with _locked(site, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextmanager
def _locked(site: Site, how: int) -> Iterator[None]:
    descriptor = os.open(folder(site) / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            raise Refused("An environment is just being built.", remedy="Wait for it.") from None
        yield
    finally:
        os.close(descriptor)
