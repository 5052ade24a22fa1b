"""Which zygotes there are, as root sees them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from hubwright.errors import NotRunning


def ask(path: Path, timeout: float) -> list[dict[str, Any]]:
    """Return environment, version, modules, pid and readiness of each; for root only.

    Raises:
        NotRunning: the keeper does not answer, or not in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.send(b"?")
            found: list[dict[str, Any]] = json.loads(connection.recv(256 * 1024))["zygotes"]
        except (OSError, ValueError, KeyError) as error:
            raise NotRunning(f"does not answer ({error})", where=str(path), remedy="Is the service up?") from error
        return found
