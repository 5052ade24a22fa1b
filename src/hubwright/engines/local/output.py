"""What a server and its kernels print: through a named pipe into a log, whose size is bounded at every moment.

The pipe lies in the server's folder and is root's, so that a fork server that comes back reads on. A server that
prints never waits, and is never told that nobody reads: it holds the pipe for reading, too, and without blocking. What
a pipe cannot hold (64 KB, pipe(7)) before it is read is lost.

A kernel, and what is run in it, must not meet a descriptor that cannot take more just now: few programs expect that,
and ipykernel forwards nothing from then on. Kernels have an outlet, an ordinary pipe that their server empties.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from hubwright.engines.local.loop import Loop

LIMIT = 5 * 2**20
"""Bytes after which a log is moved to `<name>.1` and begun anew."""
KEPT = 8
"""Logs of a person's servers that stay when those run no more: names of servers are the person's to choose."""
PIPE = "out"
"""The pipe's name in a server's folder."""
_FLAGS = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_PART = 65536
_PAUSE = 0.05
"""Seconds between two looks: 1.3 MB/s is what is written down of who prints without end."""


def make_pipe(folder: Path) -> Path:
    """Make the pipe of a server that is about to start, in place of one that another server had."""
    pipe = folder / PIPE
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    return pipe


def open_pipe(pipe: Path) -> int:
    """Return a descriptor to print to, or to read from; `OSError` when there is no pipe."""
    return os.open(pipe, _FLAGS)


def make_outlet(uid: int, gid: int) -> tuple[int, int]:
    """Return both ends of an account's pipe, for reading and for writing; who has it as output may open it by name."""
    ends = os.pipe()
    if os.geteuid() == 0:
        os.fchown(ends[1], uid, gid)
    return ends


def pass_on(outlet: int) -> bytes:
    """Print what is in an outlet, and return it; what this process's own output has no room for is lost."""
    text = os.read(outlet, _PART)
    with suppress(OSError):
        os.write(2, text)
    return text


def append(log: Path, text: bytes, limit: int = LIMIT) -> None:
    """Add to a log, made 0600 when new; one that would become too large is moved away first, over an older one."""
    with suppress(FileNotFoundError):
        if log.lstat().st_size + len(text) > limit:
            log.rename(log.with_name(log.name + ".1"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


def prune(folder: Path, user: str, running: Collection[Path], kept: int = KEPT) -> None:
    """Remove the logs of a person's servers, but those of `running` ones and the newest others."""
    found: dict[Path, float] = {}
    mine = {f"{user}.log", f"{user}.log.1"}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in mine or entry.name.startswith(f"{user}@"):  # no user's name has an @
                with suppress(FileNotFoundError):
                    log = folder / entry.name.removesuffix(".1")
                    found[log] = max(found.get(log, 0.0), entry.stat(follow_symlinks=False).st_mtime)
    others = sorted(found.keys() - {*running}, key=lambda log: found[log], reverse=True)
    for log in others[kept:]:
        for path in (log, log.with_name(log.name + ".1")):
            path.unlink(missing_ok=True)


class Output:
    """Takes what comes out of a pipe to a log, as long as the loop runs."""

    def __init__(self, loop: Loop, pipe: Path, log: Path) -> None:
        self._loop = loop
        self._log = log
        self._pipe = open_pipe(pipe)
        self._watch()

    def _watch(self) -> None:
        if self._pipe >= 0:
            self._loop.watch(self._pipe, self._look)

    def _look(self) -> None:
        """Write down what is there, then leave the pipe alone for a moment."""
        self._loop.unwatch(self._pipe)
        self._loop.later(_PAUSE, self._watch)
        self.drain()

    def drain(self) -> None:
        """Write down what is in the pipe now; what the disk has no room for is lost."""
        if self._pipe < 0:
            return
        with suppress(OSError):
            append(self._log, os.read(self._pipe, _PART))

    def close(self) -> None:
        """Write down the last words, and look no more."""
        self.drain()
        if self._pipe >= 0:
            self._loop.unwatch(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
