"""Whether a server answers on its Unix socket, without waiting for one that does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path


async def answers(socket: Path, url: str, patience: float) -> bool:
    """Whether a program answers HTTP requests on `socket` within `patience` seconds, whatever it says.

    Args:
        socket: a Unix socket; it may be missing.
        url: the path that is asked for.
        patience: seconds.
    """
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(f"GET {url} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).startswith(b"HTTP/")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
