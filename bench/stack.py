"""What both sides of a comparison look like to the measuring code: a service to start, stop and ask."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

PREFIX = Path(sys.prefix)
_LOADED = re.compile(r"(\S+) \| extension was successfully loaded")


class Stack(ABC):
    """One service under test. A context manager: running inside, stopped and its folder removed after."""

    name: str

    def __init__(self, users: list[str], *, spawner: dict[str, Any] | None = None, log_to: Path | None = None) -> None:
        """`users` may log in; `spawner` holds traits that both sides get alike; logs are copied to `log_to`."""
        self.users = users
        self.spawner = spawner or {}
        self.log_to = log_to
        self.port = free_port()
        # Not under /tmp: Hubwright keeps its state only below folders that nobody else can write to.
        self.folder = Path(tempfile.mkdtemp(prefix=f"hubwright-bench-{self.name}-", dir="/var/lib"))
        self.folder.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()
        self._api: httpx.Client | None = None

    @property
    def url(self) -> str:
        """The public address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        """What the service printed."""
        return self.folder / "output.log"

    @abstractmethod
    def argv(self) -> list[str]:
        """The command that starts the service."""

    @abstractmethod
    def admin_token(self) -> str:
        """A token that may make users and their tokens."""

    @abstractmethod
    def shared(self) -> list[psutil.Process]:
        """Processes that exist for the users' servers but do not run as a user."""

    def launch(self) -> float:
        """Start the service and return the seconds until its login page answers; raises when it does not in 90 s."""
        environment = {"PATH": f"{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
        environment["HOME"] = os.environ.get("HOME", "/root")
        begin = time.perf_counter()
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv(),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with httpx.Client(trust_env=False, timeout=5) as client:
            while time.perf_counter() - begin < 90:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
                try:
                    if client.get(f"{self.url}/hub/login").status_code == 200:
                        seconds = time.perf_counter() - begin
                        self._family()
                        return seconds
                except httpx.HTTPError:
                    pass
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not show its login page in 90 s:\n{self.tail()}")

    def halt(self) -> None:
        """Stop the service with everything it started: SIGINT as Ctrl-C, SIGKILL for what is left after 60 s."""
        if self._api is not None:
            self._api.close()
            self._api = None
        if self.process is None:
            return
        self._family()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                print(f"{self.name} did not stop in 60 s; killed.", file=sys.stderr)
        for process in self._family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self.process.wait(10)
        self.process = None
        self._seen.clear()

    def _family(self) -> list[psutil.Process]:
        """The started command, its descendants, and those of earlier looks that have lost their parent since."""
        assert self.process is not None
        try:
            leader = psutil.Process(self.process.pid)
            self._seen |= {leader, *leader.children(recursive=True)}
        except psutil.NoSuchProcess:
            pass
        self._seen = {process for process in self._seen if process.is_running()}
        return list(self._seen)

    def __enter__(self) -> Self:
        try:
            self.launch()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.halt()
        finally:
            if self.log_to is not None:
                self.log_to.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.output, self.log_to / f"{self.name}.log")
                for log in self.logs():
                    if log != self.output:
                        shutil.copyfile(log, self.log_to / f"{self.name}-{log.name}")
            shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self) -> list[Path]:
        """Every log file of the service."""
        return [path for path in self.folder.rglob("*.log") if path.is_file()]

    def tail(self, lines: int = 30) -> str:
        """The last lines of what the service printed."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask the hub's REST API as the admin; raises for an error status."""
        if self._api is None:
            headers = {"Authorization": f"token {self.admin_token()}", "Content-Type": "application/json"}
            self._api = httpx.Client(base_url=f"{self.url}/hub/api", headers=headers, timeout=90, trust_env=False)
        answer = self._api.request(method, path, json={} if body is None and method == "POST" else body)
        answer.raise_for_status()
        return answer

    def tokens(self, users: list[str]) -> dict[str, str]:
        """Make the users known to the hub, and a token with each one's own rights."""
        known = {model["name"] for model in self.api("GET", "/users?limit=1000").json()}
        missing = [user for user in users if user not in known]
        if missing:
            self.api("POST", "/users", {"usernames": missing})
        return {user: self.api("POST", f"/users/{user}/tokens", {"note": "bench"}).json()["token"] for user in users}

    def stop_server(self, user: str) -> None:
        """Stop a user's server and wait until the hub says that it is gone; raises after 60 s."""
        self.api("DELETE", f"/users/{user}/server")
        deadline = time.monotonic() + 60
        while self.api("GET", f"/users/{user}").json()["servers"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: the server of {user} did not stop in 60 s.")
            time.sleep(0.1)

    def whole(self) -> list[psutil.Process]:
        """The service's own processes: the command that was started and its descendants."""
        return self._family()

    def answers(self, user: str, token: str) -> dict[str, Any]:
        """What a user's running server says of itself, to be equal on both sides: version, extensions, kernels."""
        base = f"{self.url}/user/{user}"
        with httpx.Client(headers={"Authorization": f"token {token}"}, timeout=30, trust_env=False) as client:
            version = client.get(f"{base}/api").json()
            kernels = client.get(f"{base}/api/kernelspecs").json()
            lab = client.get(f"{base}/lab/api/extensions").json()
            languages = client.get(f"{base}/lsp/status").text
            probes = {
                path: client.get(base + path).status_code
                for path in ("/api/terminals", "/lsp/status", "/lab/api/settings", "/api/contents", "/api/me", "/tree")
            }
        text = "\n".join(log.read_text(errors="replace") for log in self.logs())
        return {
            "api": version,
            "server extensions": sorted(set(_LOADED.findall(text))),
            "lab extensions": sorted((_distribution(one["name"]), one["installed_version"]) for one in lab),
            "kernels": sorted(kernels["kernelspecs"]),
            "language servers": languages,
            "probes": probes,
        }


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _distribution(name: str) -> str:
    """The name of an extension's Python package; PyPI's manager of extensions gives that one, others npm's."""
    return name.removeprefix("@").replace("/", "-").replace("_", "-")
