"""`python -m hubwright.hub.culler`: jupyterhub-idle-culler, which ends with the hub that started it.

JupyterHub starts a culler at each start and stops it at its end; a hub that is killed would leave one behind, with a
token that the next hub does not know. The culler asks the hub with Tornado's HTTP client, which knows no address of a
Unix socket: it is given another address, and a resolver that leads every address to that socket.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from typing import Any
from urllib.parse import unquote, urlsplit

from tornado.netutil import Resolver

_PR_SET_PDEATHSIG = 1


class OneSocket(Resolver):
    """Resolves every name to one Unix socket."""

    def initialize(self, path: str) -> None:
        """`path` is the socket's."""
        self._path = path

    async def resolve(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[tuple[int, Any]]:
        """Return the socket, whatever is asked for."""
        return [(socket.AF_UNIX, self._path)]


def bridge(url: str) -> str:
    """Return the address under which Tornado's client reaches the hub at `url`; a TCP address stays as it is."""
    parts = urlsplit(url)
    if parts.scheme != "http+unix":
        return url
    Resolver.configure(OneSocket, path=unquote(parts.netloc.rpartition(":")[0] or parts.netloc))
    return f"http://localhost{parts.path}"


def main() -> None:
    """Run the culler with this process's arguments until the hub is gone."""
    hub = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != hub:
        return
    os.environ["JUPYTERHUB_API_URL"] = bridge(os.environ["JUPYTERHUB_API_URL"])
    from jupyterhub_idle_culler import main as cull  # reads the environment

    cull()


if __name__ == "__main__":
    main()
