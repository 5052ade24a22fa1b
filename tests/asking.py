"""Ask the fork server itself for a server, as the hub does, or as a hub that somebody has taken over would."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from tests.slowness import SLOWNESS


def ask_start(run: Path, user: str, server: str, limits: dict[str, Any], **more: Any) -> int:
    """Start a server that lives until it is stopped, though it belongs to no hub; return its pid.

    Args:
        run: the service's folder below `/run`.
        user: whose server.
        server: its name.
        limits: what the request says of them.
        more: other things that it says.
    """
    env = {"JUPYTERHUB_SERVICE_PREFIX": "/", "JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_USER": user}
    env |= {f"JUPYTERHUB_{word}": "http://127.0.0.1:9/" for word in ("SERVICE_URL", "API_URL", "ACTIVITY_URL")}
    env |= {f"JUPYTERHUB_{word}": word for word in ("API_TOKEN", "CLIENT_ID", "OAUTH_CALLBACK_URL")}
    request = {"user": user, "server": server, "env": env, "limits": limits, **more}
    wait_until((run / "start.sock").exists, 30)  # a service answers before its fork server has imported everything
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30 * SLOWNESS)
        caller.connect(str(run / "start.sock"))
        caller.sendall(json.dumps(request).encode() + b"\n")
        with caller.makefile("rb") as answers:
            answer = json.loads(answers.readline())
            assert answer["ok"], answer
            assert json.loads(answers.readline()) == {"ready": True}  # it would end if nobody waited for that
    return int(answer["pid"])
