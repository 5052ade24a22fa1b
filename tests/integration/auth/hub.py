"""A real JupyterHub with one of Hubwright's authenticators, without proxy, and what a browser would do with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import httpx
from tests.daemons import await_answer, end
from tests.running import PLAIN

TOKEN = "t" * 64
CONFIG = """
import json, os
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {}

c = get_config()
for name, settings in json.load(open(os.environ["SETTINGS"])).items():
    c[name].update(settings)
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
c.JupyterHub.services = [{"name": "cli", "api_token": "%s", "admin": True}]
c.JupyterHub.load_roles = [{"name": "cli", "scopes": ["admin:users", "admin:servers"], "services": ["cli"]}]
"""
PROGRAM = "from hubwright import grammars; grammars.defer(); from jupyterhub.app import main; main()"
"""JupyterHub as Hubwright starts it, a second of a processor sooner."""


class RunningHub:
    """JupyterHub as a child; `start` and `stop` it as often as a test wants."""

    def __init__(self, folder: Path, port: int, settings: dict) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        settings.setdefault("JupyterHub", {}).update(
            hub_bind_url=self.url, bind_url="http://127.0.0.1:1/", db_url=f"sqlite:///{folder}/hub.sqlite"
        )
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "config.py").write_text(CONFIG % TOKEN)
        self.log = folder / "hub.log"
        self.browsers: list[Browser] = []

    def start(self) -> None:
        environment = {"PATH": os.environ["PATH"], "SETTINGS": str(self.folder / "settings.json"), "LANG": "C.UTF-8"}
        with self.log.open("ab") as log:
            argv = [sys.executable, "-c", PROGRAM, "-f", "config.py"]
            self.process = subprocess.Popen(argv, cwd=self.folder, env=environment, stdout=log, stderr=log)

        def answers() -> bool:
            try:
                return httpx.get(f"{self.url}/hub/api/", **PLAIN).status_code == 200
            except httpx.TransportError:
                return False

        await_answer(self.process, answers, self.log)

    def stop(self, kill: bool = False) -> None:
        for browser in self.browsers:
            browser.client.close()
        self.browsers.clear()
        if kill:
            self.process.kill()
        end(self.process)

    def api(self, method: str, path: str, **body) -> httpx.Response:
        headers = {"Authorization": f"token {TOKEN}"}
        return httpx.request(
            method, f"{self.url}/hub/api/{path}", headers=headers, json=body or None, timeout=60, **PLAIN
        )

    def link(self, name: str) -> dict[str, str]:
        """Return the parameters of a new one-time link."""
        answer = self.api("POST", f"hubwright/people/{name}/link")
        assert answer.status_code == 201, answer.text
        return dict(httpx.URL(answer.json()["link"]).params)

    def browser(self) -> Browser:
        self.browsers.append(Browser(self.url))
        return self.browsers[-1]


class Browser:
    """Cookies and forms."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60, **PLAIN)

    def get(self, path: str, **params) -> httpx.Response:
        return self.client.get(path, params=params or None)

    def submit(self, page: str, action: str, **fields) -> httpx.Response:
        """Look at a page with a form, then send it."""
        shown = self.client.get(page)
        found = re.search(r'xsrf_token: "([^"]+)"', shown.text)
        return self.client.post(action, data={"_xsrf": found[1] if found else ""} | fields)

    def claim(self, link: dict[str, str], password: str, again: str | None = None) -> httpx.Response:
        page = str(httpx.URL("/hub/claim", params=link))
        return self.submit(page, "/hub/claim", **link, password=password, again=password if again is None else again)

    def login(self, name: str, password: str) -> httpx.Response:
        return self.submit("/hub/login", "/hub/login?next=", username=name, password=password)

    def who(self) -> str | None:
        """The name that the hub knows this browser by."""
        shown = self.client.get("/hub/token")
        return re.search(r'user: "([^"]*)"', shown.text)[1] if shown.status_code == 200 else None


def told(page: httpx.Response) -> str:
    """The alert or the login error of a page."""
    found = re.search(
        r'(?:role="alert">|class="login_error">|class="login_error" role="alert">)(.*?)</p>', page.text, re.DOTALL
    )
    return unescape(found[1]).strip() if found else ""
