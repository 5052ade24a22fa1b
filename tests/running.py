"""A whole service, started as a user starts it, and what a browser would ask of it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import websocket

from tests import laid_out
from tests.slowness import SLOWNESS

PREFIX = Path(sys.prefix)
_IS_UP = "Ctrl-C stops it."
"""What `hubwright up` says when every part is ready and the page answers."""
_NOTICE = "https://hubwright.readthedocs.io/events/notice/v1"
PLAIN: dict[str, Any] = {"verify": False}
"""For plain HTTP: to read the machine's authorities for each request takes as long as the request."""


class Died(AssertionError):
    """A part of the service ended while a test needed it."""


@dataclass
class Service:
    """`hubwright up` on a hub.yaml of the test's own; stopped, with all its notebooks, at the end."""

    folder: Path
    yaml: str
    port: int
    account: Any = None
    """The ordinary account that starts it; None for root."""
    process: subprocess.Popen[bytes] | None = None
    slowness: float = SLOWNESS
    """How much longer waits are for it than on a usual machine."""
    tokens: dict[str, str] = field(default_factory=dict)
    sockets: list[websocket.WebSocket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def run(self) -> Path:
        from hubwright.fields import instance_of

        folder = f"/tmp/hubwright-{self.account.uid}" if self.account else "/run/hubwright"
        return Path(folder) / instance_of(self.state)

    @property
    def environments(self) -> Path:
        """Where its shared environments are, when root runs it."""
        from hubwright.fields import instance_of

        return Path("/opt/hubwright/environments") / instance_of(self.state)

    @property
    def site(self) -> Any:
        from hubwright.machine import site_file

        return site_file.load(self.run / "site.json")

    def command(self, *words: str) -> list[str]:
        options = ["--config", str(self.folder / "hub.yaml"), "--state", str(self.state)]
        return [str(PREFIX / "bin" / "hubwright"), *words, *options]

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=90 * self.slowness,
            env=self.env(),
            **self.identity(),
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def env(self) -> dict[str, str]:
        home = {"HOME": str(self.account.home)} if self.account else {}
        return {**_environment(), **home}

    def identity(self) -> dict[str, Any]:
        if not self.account:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

    def up(self, *words: str, wait: float = 60) -> Service:
        (self.folder / "hub.yaml").write_text(self.yaml)
        usual = self.account is None and self.state == self.folder / "state"
        if usual:
            laid_out.give(self.state)
        out = (self.folder / "up.log").open("ab")
        before = self.output().count(_IS_UP)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *self.command("up", *words)],  # it ends also when the tests are killed
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=self.env(),
            cwd="/",
            **self.identity(),
        )
        out.close()
        deadline = time.monotonic() + wait * self.slowness
        while self.output().count(_IS_UP) == before or not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Died(f"hubwright up did not come up:\n{self.output()}\n{self.logs()}")
            time.sleep(0.05)
        if usual:
            laid_out.keep(self.state)
        return self

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/hub/login", timeout=5 * self.slowness, **PLAIN).status_code == 200
        except httpx.HTTPError:
            return False

    def output(self) -> str:
        return (self.folder / "up.log").read_text()

    def logs(self) -> str:
        texts = [f"--- {p}\n{p.read_text()[-3000:]}" for p in sorted((self.state / "logs").rglob("*.log"))]
        return "\n".join(texts)

    def down(self, number: int = signal.SIGTERM, wait: float = 40) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(wait * self.slowness)

    def clean(self) -> None:
        """End everything, also what an `up` that was killed left."""
        for one in self.sockets:
            one.shutdown()
        orderly = self.process is not None and self.process.poll() is None
        if self.process and orderly:
            try:
                self.down()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                orderly = False
        if not orderly and self.run.exists() and self._left_something():
            try:
                self.up()
                self.down()
            except (Died, subprocess.TimeoutExpired):
                pass
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.environments, ignore_errors=True)

    def _left_something(self) -> bool:
        """Whether parts or servers may still run: an orderly end leaves an empty ledger, and no record of a server."""
        from hubwright.errors import HubwrightError

        try:
            parts = json.loads((self.run / "parts.json").read_text())
            return parts != {} or any(self.site.servers.glob("*/server.json"))
        except (OSError, ValueError, HubwrightError):
            return True

    # What the hub answers

    def token(self, user: str) -> str:
        """Return a token of a user's, as `hubwright token` makes them."""
        if user not in self.tokens:
            answer = self.api("POST", f"/users/{quote(user, safe='')}/tokens", {"note": "tests"})
            assert answer.status_code == 201, answer.text
            self.tokens[user] = answer.json()["token"]
        return self.tokens[user]

    def admin(self) -> dict[str, str]:
        return {"Authorization": f"token {(self.state / 'secrets' / 'cli.token').read_text().strip()}"}

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Ask the hub's API as the command line does."""
        more.setdefault("headers", self.admin())
        return httpx.request(
            method, f"{self.url}/hub/api{path}", json=body, timeout=60 * self.slowness, **PLAIN, **more
        )

    def add_user(self, user: str) -> None:
        answer = self.api("POST", f"/users/{user}")
        assert answer.status_code in (201, 409), answer.text

    def start(self, user: str, server: str = "", body: Any = None, wait: float = 60) -> Notebook:
        """Start a server as its user would through the API, and wait until the hub calls it ready."""
        self.add_user(user)
        self.settle(user, server)
        path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
        answer = self.api("POST", path, {} if body is None else body)
        assert answer.status_code in (201, 202), f"{answer.status_code} {answer.text}\n{self.logs()}"
        deadline = time.monotonic() + wait * self.slowness
        while not (model := self.server(user, server)).get("ready"):
            assert model.get("pending"), f"the server did not start: {model}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not ready: {model}\n{self.logs()}"
            time.sleep(0.02 * self.slowness)
        return Notebook(self, user, server)

    def opened(self, user: str) -> Notebook:
        """Return a user's server, started where it does not run."""
        return Notebook(self, user, "") if self.server(user).get("ready") else self.start(user)

    def server(self, user: str, server: str = "") -> dict[str, Any]:
        model = self.api("GET", f"/users/{user}")
        found: dict[str, Any] = model.json().get("servers", {}).get(server, {})
        return found

    def settle(self, user: str, server: str) -> None:
        """Wait until a hub that has just started has looked at a server it knows."""
        deadline = time.monotonic() + 30 * self.slowness
        while self.server(user, server).get("pending") == "check":
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.05)

    def stop(self, user: str, server: str = "", wait: float = 30) -> None:
        self.settle(user, server)
        path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
        answer = self.api("DELETE", path)
        assert answer.status_code in (202, 204), answer.text
        deadline = time.monotonic() + wait * self.slowness
        while self.server(user, server):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def part(self, name: str) -> int:
        """Return the pid of a part, as the supervisor notes it; 0 while it is being started again."""
        found = json.loads((self.run / "parts.json").read_text())
        return int(found.get(name, {"pid": 0})["pid"])

    def listed(self) -> list[dict[str, Any]]:
        """What the fork server says runs."""
        from hubwright.errors import NotRunning
        from hubwright.machine import wire

        deadline = time.monotonic() + 30 * self.slowness
        while True:
            try:
                return list(wire.call(self.run / "fork.sock", {"op": "list"})["servers"])
            except NotRunning:  # it is being started again
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


@dataclass
class Notebook:
    """One running server."""

    service: Service
    user: str
    server: str

    @property
    def base(self) -> str:
        return f"/user/{self.user}/{self.server}/" if self.server else f"/user/{self.user}/"

    @property
    def pid(self) -> int:
        pids = [s["pid"] for s in self.service.listed() if (s["user"], s["server"]) == (self.user, self.server)]
        assert len(pids) == 1, pids
        return int(pids[0])

    def log(self) -> str:
        """Return what the server and its kernels have printed."""
        return (self.service.state / "logs" / "users" / f"{self.user}.log").read_text()

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"token {token or self.service.token(self.user)}"}
        return httpx.request(
            method,
            f"{self.service.url}{self.base}{path}",
            json=body,
            headers=headers,
            timeout=60 * self.service.slowness,
            **PLAIN,
            **more,
        )

    def kernel(self, name: str = "python3") -> Kernel:
        answer = self.ask("POST", "api/kernels", {"name": name})
        assert answer.status_code == 201, answer.text
        return Kernel(self, answer.json()["id"])

    def terminal(self) -> websocket.WebSocket:
        name = self.ask("POST", "api/terminals").json()["name"]
        return self.socket(f"terminals/websocket/{name}")

    def socket(self, path: str, token: str | None = None) -> websocket.WebSocket:
        url = f"{self.service.url}{self.base}{path}".replace("http", "ws", 1)
        header = [f"Authorization: token {token or self.service.token(self.user)}"]
        self.service.sockets.append(websocket.create_connection(url, header=header, timeout=60 * self.service.slowness))
        return self.service.sockets[-1]

    def notice(self, cause: Callable[[], object]) -> str:
        """Return what Hubwright tells its pages, in JupyterLab's stream of events, after `cause()`."""
        stream = self.socket("api/events/subscribe")
        cause()
        deadline = time.monotonic() + 30 * self.service.slowness
        while time.monotonic() < deadline:
            event = json.loads(stream.recv())
            if event["schema_id"] == _NOTICE:
                return str(event["message"])
        raise AssertionError("no notice came")


class Kernel:
    """One kernel, over the websocket that JupyterLab uses."""

    def __init__(self, notebook: Notebook, kernel_id: str, token: str | None = None) -> None:
        self.notebook = notebook
        self.id = kernel_id
        self.ws = notebook.socket(f"api/kernels/{kernel_id}/channels", token)

    def send(self, code: str) -> str:
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
        self.ws.send(json.dumps({**message, "buffers": []}))
        return number

    def messages(self, number: str) -> Any:
        while True:
            found = self.ws.recv()
            if not isinstance(found, str):
                continue
            message = json.loads(found)
            if message["parent_header"].get("msg_id") == number:
                yield message

    def until_idle(self, number: str) -> Iterator[dict[str, Any]]:
        """Yield what is said of a cell, with all that it printed: its reply may come before that, by another channel."""
        for message in self.messages(number):
            yield message
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return

    def run(self, code: str) -> str:
        """Run a cell and return what it printed, its value, or its error."""
        number = self.send(code)
        text, idle, replied = "", False, False
        for message in self.messages(number):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text += content["text"]
            elif kind in ("execute_result", "display_data"):
                text += content["data"]["text/plain"]
            elif kind == "error":
                text += f"{content['ename']}: {content['evalue']}"
            replied = replied or kind == "execute_reply"
            idle = idle or (kind == "status" and content["execution_state"] == "idle")
            if idle and replied:
                return text
        raise AssertionError

    def run_until(self, code: str, end: str) -> str:
        """Run a cell and return what is printed up to `end`; what a program prints may come after the cell's end."""
        number = self.send(code)
        text = ""
        for message in self.messages(number):
            if message["msg_type"] == "stream":
                text += message["content"]["text"]
            if text.endswith(end):
                return text
        raise AssertionError

    def value(self, code: str) -> Any:
        """Run a cell that prints JSON and return what it printed."""
        text = self.run(code)
        try:
            return json.loads(text)
        except ValueError:
            raise AssertionError(text) from None

    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = self.notebook.ask("GET", f"api/kernels/{self.id}").json()
        return found


def _environment() -> dict[str, str]:
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TERM") if name in os.environ}
    return {**keep, "LANG": "C.UTF-8"}


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Hold a process up while the test looks at what others do without it; its supervisor may end it meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def stuck(pid: int) -> Iterator[None]:
    """Keep a process from ending even by SIGKILL, as one that waits for a dead disk.

    It takes the freezer of control groups version 1; where there is none the process ends as usual.
    """
    freezer = Path("/sys/fs/cgroup/freezer")
    if not (freezer / "cgroup.procs").exists():
        yield
        return
    folder = freezer / f"hwt-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        (folder / "cgroup.procs").write_text(str(pid))
        (folder / "freezer.state").write_text("FROZEN")
        yield
    finally:
        (folder / "freezer.state").write_text("THAWED")
        deadline = time.monotonic() + 10
        while folder.exists():
            assert time.monotonic() < deadline, folder
            with suppress(OSError):  # what was ended meanwhile goes by itself, and what was not has to be moved
                for left in (folder / "cgroup.procs").read_text().split():
                    (freezer / "cgroup.procs").write_text(left)
                folder.rmdir()


def port() -> int:
    """Return a TCP port that is free now, and that the kernel gives to nobody who asks for any."""
    handed_out = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        number = 10_000 + secrets.randbelow(max(handed_out, 20_000) - 10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("", number))
            except OSError:
                continue
            return number
