"""A whole service by HTTPS with three people, and what browsers and programs of theirs ask of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import websocket
from tests.conftest import Account, wait_until
from tests.encrypted import Encrypted
from tests.integration.auth.hub import Browser
from tests.integration.conftest import service  # noqa: F401 (a fixture)
from tests.running import PLAIN, Notebook, Service

YAML = """\
hub: {listen: "127.0.0.1:{port}", url: "https://localhost:{port}/", admins: [ADMIN]}
auth: {kind: pam, allow: all}
engine: {kind: local, servers: 2}
https: {kind: self_made}
"""


@dataclass
class World:
    """The service and its people: Alice, Mallory, who is a user like her, and an admin."""

    hub: Encrypted
    alice: Account
    mallory: Account
    admin: Account
    browsers: list[Browser] = field(default_factory=list)

    def browser(self, account: Account | None = None) -> Browser:
        """Return a new browser, logged in as somebody or as nobody."""
        self.browsers.append(Browser(self.hub.url))
        if account:
            page = self.browsers[-1].login(account.name, account.password)
            assert page.status_code == 302, page.text
        return self.browsers[-1]

    def notebook(self, account: Account) -> Notebook:
        """Return somebody's server, started when it does not run."""
        if not self.hub.server(account.name).get("ready"):
            self.hub.start(account.name)
        return Notebook(self.hub, account.name, "")

    def at_work(self, account: Account) -> Browser:
        """Return a browser that has somebody's JupyterLab open."""
        self.notebook(account)
        browser = self.browser(account)
        page = browser.client.get(f"/user/{account.name}/lab", follow_redirects=True)
        assert page.status_code == 200 and "jupyter-config-data" in page.text, page.text
        return browser


@pytest.fixture(scope="module")
def world(
    service: Callable[..., Service],  # noqa: F811 (the fixture)
    module_account: Callable[..., Account],
) -> Iterator[World]:
    alice, mallory, admin = (module_account() for _ in range(3))
    plain = service(YAML.replace("ADMIN", admin.name))
    hub = Encrypted(plain.folder, plain.yaml, plain.port)
    hub.trust = plain.folder / "state" / "authority.crt"
    made = World(hub, alice, mallory, admin)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE"):
            patch.setenv(name, str(hub.trust))
        try:
            hub.up(wait=150)
            for account in (alice, mallory, admin):
                hub.add_user(account.name)
            yield made
        finally:
            for browser in made.browsers:
                browser.client.close()
            hub.clean()


def cookies(browser: Browser, path: str) -> str:
    """Return the header with which a browser sends its cookies to a path, as a thief would who copied them."""
    found = [cookie for cookie in browser.client.cookies.jar if path.startswith(cookie.path)]
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sorted(found, key=lambda one: -len(one.path)))


def ask(world: World, path: str, *, method: str = "GET", cookie: str = "", **headers: str) -> httpx.Response:
    """Ask once, with exactly these cookies and headers (`_` stands for `-`); no redirect is followed."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie:
        told["Cookie"] = cookie
    return httpx.request(method, f"{world.hub.url}{path}", headers=told, timeout=60, **PLAIN)


def xsrf(browser: Browser, path: str) -> str:
    """Return the token against forged requests that pages below a path get."""
    return next(
        str(one.value) for one in browser.client.cookies.jar if one.name == "_xsrf" and path.startswith(one.path)
    )


def refused_at_last(world: World, path: str, cookie: str, seconds: float = 45) -> None:
    """Wait until a server does not take a cookie any more: it remembers for half a minute what the hub said."""
    wait_until(lambda: ask(world, path, cookie=cookie).status_code in (302, 403), seconds)


def open_socket(world: World, path: str, **options: Any) -> websocket.WebSocket:
    """Open a websocket as a browser does; `websocket.WebSocketBadStatusException` when it is refused."""
    address = f"{world.hub.url}{path}".replace("https", "wss", 1)
    trusted = {"ca_certs": str(world.hub.trust), "cert_reqs": ssl.CERT_REQUIRED}
    made = websocket.create_connection(address, sslopt=trusted, timeout=30, **options)
    world.hub.sockets.append(made)
    return made
