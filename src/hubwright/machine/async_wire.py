"""Asking the privileged programs from an event loop: as `wire.call`, without blocking.

Apart from `wire`, which root's account helper imports and which therefore has no use for asyncio.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hubwright.errors import NotRunning, Refused
from hubwright.machine import wire

_AGAIN = 0.1
"""Seconds between two tries to connect."""


class Connection:
    """One caller's connection to the program behind a socket."""

    def __init__(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; it is on its way when the next answer is waited for."""
        self._writer.write(wire.encode(message))

    async def receive(self, timeout: float | None) -> dict[str, Any]:
        """Return the next message, an empty one when the other side hung up; None waits for ever.

        Raises:
            NotRunning: no whole message came in time, or what came is none.
        """
        try:
            line = await asyncio.wait_for(self._reader.readline(), timeout)
            return wire.decode(line) if line.endswith(b"\n") else {}
        except TimeoutError as error:
            raise silent(self._path, f"nothing came within {timeout:g} s") from error
        except (OSError, ValueError, Refused) as error:
            raise silent(self._path, error) from error

    async def receive_bytes(self, size: int, timeout: float | None) -> bytes:
        """Return the next `size` bytes, which may be more than a message may have.

        Raises:
            NotRunning: they did not all come in time.
        """
        try:
            return await asyncio.wait_for(self._reader.readexactly(size), timeout)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise silent(self._path, error or "the answer broke off") from error


@asynccontextmanager
async def connect(path: Path, patience: float = 0) -> AsyncIterator[Connection]:
    """Connect to a program's socket; one that is being started again is waited for `patience` seconds.

    Raises:
        NotRunning: nobody listens there.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=wire.LIMIT)
            break
        except (ConnectionRefusedError, FileNotFoundError) as error:
            if time.monotonic() >= deadline:
                raise silent(path, error) from error
            await asyncio.sleep(_AGAIN)
        except OSError as error:
            raise silent(path, error) from error
    try:
        yield Connection(path, reader, writer)
    finally:
        writer.close()


async def ask(path: Path, message: dict[str, Any], timeout: float | None = 10, patience: float = 0) -> dict[str, Any]:
    """Ask the program behind a socket and return its answer, waiting `timeout` seconds for it; None waits for ever.

    Raises:
        NotRunning: nobody answers there, or not in time.
    """
    async with connect(path, patience) as connection:
        connection.send(message)
        if answer := await connection.receive(timeout):
            return answer
    raise silent(path, "it hung up")


def silent(path: Path, why: object) -> NotRunning:
    """Return the error for a program that does not answer."""
    return NotRunning(f"does not answer ({why})", where=str(path), remedy="Is the service up?")
