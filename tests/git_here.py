"""Git repositories of the tests, and git's own smart server over HTTP (git-http-backend) in front of them."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def begin(folder: Path) -> None:
    """Make an empty repository in a folder, which may be new; its branch is `main`."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)


def commit(folder: Path) -> str:
    """Commit everything that is in a repository; return the commit."""
    run = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*run, "add", "--all"], check=True, capture_output=True)
    subprocess.run([*run, "commit", "--quiet", "--message", "x"], check=True, capture_output=True)
    subprocess.run([*run, "update-server-info"], check=True)
    return subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


class Server(ThreadingHTTPServer):
    """One on a free port, for the repositories below a folder; with `login`, `NAME:TOKEN`, only for who knows it."""

    def __init__(self, top: Path, login: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.top, self.login, self.asked = top, login, 0

    def address(self, path: str) -> str:
        """Return the address of a repository below the folder."""
        return f"http://127.0.0.1:{self.server_port}/{path}"


@contextmanager
def serving(top: Path, login: str = "") -> Iterator[Server]:
    """Serve until the block ends."""
    with Server(top, login) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        wanted = "Basic " + base64.b64encode(self.server.login.encode()).decode()
        if self.server.login and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {
            "GIT_PROJECT_ROOT": str(self.server.top), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "PATH": os.environ["PATH"],
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        told = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout
        head, _, rest = told.partition(b"\r\n\r\n")
        lines = [line.partition(": ")[::2] for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in lines if name == "Status"), 200)
        self.send_response(status)
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_POST = do_GET

    def log_message(self, *words: object) -> None:
        """Say nothing."""
