"""What somebody asks the hub from a terminal of his own server, with the server's token."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from hubwright.errors import NotRunning, Refused

_TAKES = 660.0
_URL, _TOKEN = "JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN"


def is_inside(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this runs in somebody's notebook server."""
    return os.geteuid() != 0 and bool(environment.get(_URL) and environment.get(_TOKEN))


def ask(method: str, path: str, body: dict[str, Any] | None = None, environment: Mapping[str, str] = os.environ) -> Any:
    """Send a request below `/hub/api`, as the person whose server it is; return the answer's JSON.

    Raises:
        NotRunning: the hub does not answer.
        Refused: it says no.
    """
    url = urlsplit(environment[_URL])
    headers = {"Authorization": f"token {environment[_TOKEN]}", "Content-Type": "application/json"}
    connection: http.client.HTTPConnection
    if url.scheme == "http+unix":
        connection = http.client.HTTPConnection("localhost", timeout=_TAKES)
        connection.sock = socket.socket(socket.AF_UNIX)
    else:
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "localhost", url.port, timeout=_TAKES)
    try:
        if url.scheme == "http+unix":
            connection.sock.connect(unquote(url.netloc.rpartition(":")[0]))
        connection.request(method, url.path.rstrip("/") + path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        told = json.loads(text) if text else {}
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotRunning(f"The hub does not answer: {error}.", remedy="Try again in a moment.") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise Refused(str(told.get("message") or f"The hub refused: {answer.status} {answer.reason}."))
    return told
