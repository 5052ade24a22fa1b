"""The real Caddy on sockets of the test's own, with Tornado servers behind it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from hubwright.fields import Site
from hubwright.machine import wire
from hubwright.proxy import ENVIRONMENT, Descriptors, configuration
from hubwright.proxy.https.certificate import Pair, deploy
from hubwright.proxy.serving import PLAIN, Serving
from hubwright.proxy.table import Table


class Tell(RequestHandler):
    """Answers with who was reached and what arrived, and would have its scripts work for every path."""

    SUPPORTED_METHODS = ("GET", "POST", "HEAD", "PUT")

    def initialize(self, who: str) -> None:
        self.who = who

    def get(self) -> None:
        uri, headers = self.request.uri, dict(self.request.headers)
        self.set_header("Service-Worker-Allowed", "/")
        self.write(
            {
                "who": self.who,
                "uri": uri,
                "headers": headers,
                "size": len(self.request.body),
                "method": self.request.method,
            }
        )

    post = put = get


class Echo(WebSocketHandler):
    """Sends every message back."""

    def initialize(self, who: str) -> None:
        self.who = who

    def check_origin(self, origin: str) -> bool:
        return True

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, isinstance(message, bytes))


class Stream(RequestHandler):
    """Sends a line, and the other one a second later."""

    def initialize(self, who: str) -> None:
        self.who = who

    async def get(self) -> None:
        if self.get_argument("sized", ""):
            self.set_header("Content-Length", "8")
        for line in ("one\n", "two\n"):
            self.write(line)
            await self.flush()
            await asyncio.sleep(1)


class Upstreams:
    """Servers in a thread with one event loop; each listens on a Unix socket or a port."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.servers: dict[str, HTTPServer] = {}

    def start(self, who: str, path: Path | None = None) -> int:
        """Serve as `who` on a socket or a free port; return the port."""

        async def listen() -> int:
            rules = [(r".*/ws", Echo), (r".*/stream", Stream), (r".*", Tell)]
            server = HTTPServer(Application([(path, handler, {"who": who}) for path, handler in rules]))
            self.servers[who] = server
            if path is None:
                server.listen(0, "127.0.0.1")
                return int(next(iter(server._sockets.values())).getsockname()[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            server.add_socket(bind_unix_socket(str(path)))
            return 0

        return asyncio.run_coroutine_threadsafe(listen(), self.loop).result(10)

    def stop(self, who: str) -> None:
        """Close the listener and every connection, as a process that dies."""

        async def close() -> None:
            server = self.servers.pop(who)
            server.stop()
            await server.close_all_connections()

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(10)

    def close(self) -> None:
        for who in list(self.servers):
            self.stop(who)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@dataclass
class Answer:
    """What came back over a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def who(self) -> str:
        return str(self.told["who"])


@dataclass
class Front:
    """Caddy, its table and its upstreams."""

    site: Site
    listeners: list[socket.socket]
    upstreams: Upstreams
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)
    serving: Serving = PLAIN

    @property
    def table(self) -> Table:
        return Table(self.site.routes, self.site.servers, self.site.base_url)

    def start(self) -> None:
        fds = [listener.fileno() for listener in self.listeners]
        path = self.site.run / "caddy.json"
        path.write_text(json.dumps(configuration(self.site, Descriptors(*fds), self.serving)))
        argv = [str(self.site.prefix / "bin/caddy"), "run", "--config", str(path)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.site.run), **ENVIRONMENT}
        self.log = self.site.run / "caddy.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, pass_fds=fds, env=environment, stderr=log, stdout=log)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def route(self, spec: str, key: str) -> None:
        """Route to the server `key`, running or not."""
        socket_path = quote(f"{self.site.servers}/{key}/http.sock", safe="").lower()
        self.table.add(spec, f"http+unix://{socket_path}:80", {"user": spec})

    def serve(self, spec: str, key: str) -> None:
        """Start a server that says its key, and route to it."""
        if key not in self.upstreams.servers:
            self.upstreams.start(key, self.site.servers / key / "http.sock")
        self.route(spec, key)

    def ask(
        self, path: str | bytes, *, method: str = "GET", headers: str = "", body: bytes = b"", internal: bool = False
    ) -> Answer:
        """Send one request exactly as spelled, over a connection of its own."""
        raw = path.encode() if isinstance(path, str) else path
        head = f"Host: front\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
        return self.send(method.encode() + b" " + raw + b" HTTP/1.1\r\n" + head + body, internal=internal)

    def send(self, request: bytes, *, internal: bool = False) -> Answer:
        """Send bytes; return the first answer."""
        listener = self.listeners[internal]
        with socket.socket(listener.family) as connection:
            connection.settimeout(40)
            connection.connect(listener.getsockname())
            connection.sendall(request)
            return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    """Read until the other side closes."""
    data = b""
    while part := connection.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        whole = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        body = whole
    return Answer(int(first.split(" ")[1]), headers, body)


@pytest.fixture(scope="module")
def make_front() -> Iterator[Callable[..., Front]]:
    """Make fronts, `make_front("/base/")`; each has a hub, and all is gone at the end."""
    made: list[Front] = []

    def make(base_url: str = "/", hub: bool = True, serving: Serving = PLAIN, pair: Pair | None = None) -> Front:
        run = Path(tempfile.mkdtemp(prefix="hwp-"))
        listeners = [socket.create_server(("127.0.0.1", 0), backlog=512), wire.listen(run / "api.sock", 0o600)]
        port = listeners[0].getsockname()[1]
        if serving.redirect:
            listeners.append(socket.create_server(("127.0.0.1", 0), backlog=512))
        url = f"http{'s' * serving.encrypts}://127.0.0.1:{port}{base_url}"
        site = Site(None, run / "state", run, Path(sys.prefix), "x", False, ("127.0.0.1", port), url)
        front = Front(site, listeners, Upstreams(), serving=serving)
        made.append(front)
        if pair:
            deploy(pair, site)
        if hub:
            front.upstreams.start("hub", site.hub_socket)
        front.start()
        return front

    yield make
    for front in made:
        front.kill()
        front.upstreams.close()
        for listener in front.listeners:
            listener.close()
        shutil.rmtree(front.site.run)


@pytest.fixture(scope="module")
def front(make_front: Callable[..., Front]) -> Front:
    """One Caddy for a module: the hub, two users with servers, one of them with a named one, and a service."""
    made = make_front()
    made.serve("/user/ann/", "ann")
    made.serve("/user/ann/lab2/", "ann-lab2")
    made.serve("/user/bob/", "bob")
    port = made.upstreams.start("service")
    made.table.add("/services/mail/", f"http://127.0.0.1:{port}", {"service": "mail"})
    return made
