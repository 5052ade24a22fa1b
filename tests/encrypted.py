"""A whole service that speaks HTTPS itself."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.running import Service


@dataclass
class Encrypted(Service):
    """A service by HTTPS; `trust` is the file by which its certificate is known."""

    trust: Path = Path()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def answers(self) -> bool:
        return self.trust.exists() and super().answers()

    def handshake(self) -> bytes:
        """Return the certificate that a client is shown, whoever signed it."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
            ssl._create_unverified_context().wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            return connection.getpeercert(binary_form=True) or b""
