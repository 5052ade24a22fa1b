"""A fork server without a hub, for a machine so slow that a whole service takes minutes to start.

It and what it forks are as in a service. The one question that a server has, whose token this is, is answered here.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import httpx
import websocket
from tests.conftest import wait_until
from tests.running import PREFIX, Notebook, Service
from tests.slowness import SLOWNESS

from hubwright.care import ground
from hubwright.errors import NotRunning
from hubwright.fields import Site, server_key, unix_url
from hubwright.machine import delegate, site_file, wire
from hubwright.machine.place import place


class _Hub(BaseHTTPRequestHandler):
    """Says that the token `token-of-ada` is ada's."""

    def do_GET(self) -> None:
        name = self.headers.get("Authorization", "").rpartition("token-of-")[2]
        scopes = [f"access:servers!user={name}"]
        model = json.dumps({"kind": "user", "name": name, "groups": [], "admin": False, "scopes": scopes}).encode()
        self.send_response(200 if name else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(model)))
        self.end_headers()
        self.wfile.write(model)

    def address_string(self) -> str:
        return "a server"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Alone(Service):
    """Fork server and users' servers of a site of their own; the policy has the limits."""

    @property
    def site(self) -> Site:
        return place("127.0.0.1:8000", None, None, self.state)

    @property
    def unit(self) -> str:
        return f"hubwright-{self.run.name}"

    def prepare(self, **policy: Any) -> Alone:
        """Make folders and files of the site, and answer for the hub."""
        site = self.site
        ground.make_folders(site)
        site_file.save(site, site.run / "site.json")
        for path, words in ((site.policy, policy), (site.run / "lab.json", {"static_url": "/static/"})):
            path.write_text(json.dumps(words))
            path.chmod(0o644)
        self.hub = ThreadingUnixStreamServer(str(site.api_socket), _Hub)
        site.api_socket.chmod(0o666)
        threading.Thread(target=self.hub.serve_forever, daemon=True).start()
        return self

    def up(self, *words: str, wait: float = 60) -> Alone:
        env = {
            "HUBWRIGHT_SITE": str(self.run / "site.json"),
            "LANG": "C.UTF-8",
            "HOME": "/root",
            "PATH": "/usr/bin:/bin",
        }
        command = [str(PREFIX / "bin" / "python"), "-m", "hubwright.engines.local", *words]
        with (self.state / "logs" / "fork-server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd="/")
        wait_until(lambda: self.answers() or self._died(), wait)
        return self

    def _died(self) -> bool:
        assert self.process and self.process.poll() is None, self.logs()
        return False

    def answers(self) -> bool:
        try:
            return bool(self.ask("list"))
        except NotRunning:
            return False

    def ask(self, op: str, **more: Any) -> dict[str, Any]:
        return wire.call(self.site.fork_socket, {"op": op, **more}, 30 * SLOWNESS)

    def token(self, user: str) -> str:
        return f"token-of-{user}"

    def start(self, user: str, server: str = "", body: Any = None, wait: float = 60) -> Notebook:
        """Ask for a server as the hub does; `body` has the limits that are asked for."""
        prefix = f"/user/{user}/{server}/" if server else f"/user/{user}/"
        site, limits = self.site, body or {}
        env = {
            "JUPYTERHUB_USER": user,
            "JUPYTERHUB_SERVER_NAME": server,
            "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{user}",
            "JUPYTERHUB_API_TOKEN": self.token(user),
            "JUPYTERHUB_API_URL": unix_url(site.api_socket, "/hub/api"),
            "JUPYTERHUB_ACTIVITY_URL": unix_url(site.api_socket, f"/hub/api/users/{user}/activity"),
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{prefix}oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps([f"access:servers!user={user}"]),
            "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_SERVICE_PREFIX": prefix,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:0{prefix}",
            "HUBWRIGHT_SERVER": server_key(user, server),
            **({"MEM_LIMIT": str(limits["memory"])} if "memory" in limits else {}),
        }
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(wait * SLOWNESS)
            caller.connect(str(site.start_socket))
            caller.sendall(wire.encode({"user": user, "server": server, "env": env, "limits": limits}))
            with caller.makefile("rb") as answers:
                answer = json.loads(answers.readline())
                assert answer["ok"], answer
                assert json.loads(answers.readline() or b"{}") == {"ready": True}, self.logs()
        return _Notebook(self, user, server)

    def stop(self, user: str, server: str = "", wait: float = 30) -> None:
        answer = self.ask("stop", key=server_key(user, server), grace=10 * SLOWNESS)
        assert answer["state"] == "exited", answer

    def clean(self) -> None:
        """End all there is, and leave nothing of it."""
        for one in self.sockets:
            one.shutdown()
        if self.process and self.process.poll() is None:
            self.ask("stop_all", grace=5)
            self.down(signal.SIGTERM)
        self.hub.shutdown()
        self.hub.server_close()
        assert delegate.clear(self.unit, 20 * SLOWNESS)
        shutil.rmtree(self.run, ignore_errors=True)


class _Notebook(Notebook):
    """One server, asked at its socket, where Caddy would."""

    @property
    def socket_path(self) -> Path:
        return Path(self.service.site.servers) / server_key(self.user, self.server) / "http.sock"

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"token {token or self.service.token(self.user)}"}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket_path)), timeout=60 * SLOWNESS) as client:
            return client.request(method, f"http://localhost{self.base}{path}", json=body, headers=headers, **more)

    def socket(self, path: str, token: str | None = None) -> websocket.WebSocket:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(60 * SLOWNESS)
        plain.connect(str(self.socket_path))
        header = [f"Authorization: token {token or self.service.token(self.user)}"]
        url = f"ws://localhost{self.base}{path}"
        self.service.sockets.append(
            websocket.create_connection(url, header=header, socket=plain, timeout=60 * SLOWNESS)
        )
        return self.service.sockets[-1]
