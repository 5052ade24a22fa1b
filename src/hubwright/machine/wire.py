"""How the privileged programs are spoken to: Unix sockets, a JSON line each way, and the kernel's word on who calls."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubwright.errors import NotRunning, Refused

LIMIT = 256 * 1024
"""Bytes a message may have."""


def listen(
    path: Path, mode: int, group: int = -1, backlog: int = 1024, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """Return a listening socket at `path`, replacing one that a dead process left there.

    Args:
        path: at most 107 bytes (unix(7)), in a folder whose files nobody else may replace.
        mode: its permissions; they decide who may connect.
        group: its group id; -1 leaves it.
        backlog: how many callers may wait.
        kind: of socket; one of packets keeps what is sent apart.
    """
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, kind)
    before = os.umask(0o777)
    try:
        server.bind(str(path))
    finally:
        os.umask(before)
    if group != -1:
        os.chown(path, -1, group)
    path.chmod(mode)
    server.listen(backlog)
    return server


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield caller after caller, each until the next is asked for; ends when the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            yield connection


def peer(connection: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it (SO_PEERCRED)."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", data)[1]
    return uid


def encode(message: dict[str, Any]) -> bytes:
    """Return the line for a message."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of a line.

    Raises:
        Refused: it is not a JSON object.
    """
    try:
        message = json.loads(line)
    except ValueError as error:
        raise Refused("The request is not JSON.") from error
    if not isinstance(message, dict):
        raise Refused("The request is not a JSON object.")
    return message


def receive(connection: socket.socket, timeout: float) -> dict[str, Any]:
    """Read one message, waiting at most `timeout` seconds for all of it.

    Raises:
        Refused: too long, not JSON, or cut off.
    """
    deadline = time.monotonic() + timeout
    data = b""
    while not data.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            part = connection.recv(65536)
        except TimeoutError as error:
            raise Refused("The request did not arrive in time.") from error
        data += part
        if not part or len(data) > LIMIT:
            raise Refused("The request is cut off." if not part else "The request is too long.")
    connection.settimeout(None)
    return decode(data)


def call(path: Path, message: dict[str, Any], timeout: float = 10) -> dict[str, Any]:
    """Ask the program behind a socket and return its answer; blocks, so not for the hub's loop.

    Raises:
        NotRunning: nobody answers there, or not in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(encode(message))
            return receive(connection, timeout)
        except (OSError, Refused) as error:
            raise NotRunning(f"does not answer ({error})", where=str(path), remedy="Is the service up?") from error
