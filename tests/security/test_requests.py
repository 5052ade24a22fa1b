"""What comes over the network from anywhere: addresses, hosts, origins, sizes, and requests that mean two things."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
import websocket
from tests.integration.proxy.conftest import Answer, read_answer
from tests.security.conftest import World, ask, cookies, open_socket

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
EVIL = "evil.example"
AWAY = [
    f"https://{EVIL}/", f"//{EVIL}/", f"///{EVIL}/", f"/\\{EVIL}/", f"\\\\{EVIL}/", f"/hub/..//{EVIL}/", f"http:{EVIL}",
    f"https:/{EVIL}", f"/%2f{EVIL}/", f"/%5c{EVIL}/", f"/\t/{EVIL}/", f" //{EVIL}/", f"/hub/login?next=//{EVIL}/",
    f"https://localhost@{EVIL}/", f"https://localhost.{EVIL}/", "javascript:alert(1)", "data:text/html,x",
    f"/hub/%0d%0aLocation: https://{EVIL}/", f"@{EVIL}", "/x\r\nSet-Cookie: a=b",
]  # fmt: skip


def stays(world: World, location: str) -> bool:
    """Whether a browser that is on a page of the hub, and is sent there, is still at the service."""
    seen = location.strip().replace("\\", "/").replace("\t", "").replace("\n", "").replace("\r", "")
    found = urlsplit(seen)
    if found.scheme or found.netloc:
        return f"{found.scheme}://{found.netloc}" == world.hub.url
    return not seen.startswith("//")


@pytest.mark.parametrize("away", AWAY)
def test_a_login_leads_nowhere_else(world: World, away: str) -> None:
    """Open redirects: `next` of the login page, of its form, and of one who is logged in already."""
    browser = world.browser()
    address = f"/hub/login?next={quote(away, safe='')}"
    account = world.alice
    answers = [browser.submit("/hub/login", address, username=account.name, password=account.password)]
    answers += [browser.get(address), browser.get(f"/hub/?next={quote(away, safe='')}")]
    answers += [browser.get(f"/hub/logout?next={quote(away, safe='')}")]
    for answer in answers:
        place = answer.headers.get("location", "/")
        assert stays(world, place) and (answer.status_code < 500 or "\r" in away), place
        assert "a=b" not in answer.headers.get("set-cookie", "")


def send(world: World, request: bytes, seconds: float = 30) -> Answer:
    """Send bytes over TLS; return the first answer."""
    trusted = ssl.create_default_context(cafile=str(world.hub.trust))
    with (
        socket.create_connection(("127.0.0.1", world.hub.port), timeout=seconds) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # it has answered before it read all
        return read_answer(connection)


@pytest.mark.parametrize(
    "path", ["/", "/hub/", "/hub/home", "/hub/spawn", "/user/nobody/lab", "/hub/login?next=/hub/home"]
)
@pytest.mark.parametrize(
    "forged",
    [f"Host: {EVIL}", f"Host: localhost\r\nX-Forwarded-Host: {EVIL}", f"Host: localhost\r\nForwarded: host={EVIL}"],
)
def test_nobody_is_led_or_told_of_a_forged_host(world: World, path: str, forged: str) -> None:
    """Neither a redirect, nor a page, nor a cookie knows a host that the client made up."""
    answer = send(world, f"GET {path} HTTP/1.1\r\n{forged}\r\nConnection: close\r\n\r\n".encode())
    assert EVIL not in json.dumps(answer.headers) and EVIL.encode() not in answer.body
    assert answer.status < 500


@pytest.mark.parametrize(
    "origin", [f"https://{EVIL}", "null", "http://localhost", f"https://localhost.{EVIL}", "https://127.0.0.1"]
)
def test_a_websocket_from_another_site_is_refused(world: World, origin: str) -> None:
    """Cross-site websockets: with Alice's own cookies, to her kernel."""
    browser, kernel = world.at_work(world.alice), world.notebook(world.alice).kernel()
    path = f"/user/{world.alice.name}/api/kernels/{kernel.id}/channels"
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        open_socket(world, path, origin=origin, cookie=cookies(browser, path))
    assert refused.value.status_code == 403


def test_a_websocket_needs_its_owners_cookie(world: World) -> None:
    browser, kernel = world.at_work(world.alice), world.notebook(world.alice).kernel()
    path = f"/user/{world.alice.name}/api/kernels/{kernel.id}/channels"
    his = world.at_work(world.mallory)
    for cookie in ("", cookies(his, f"/user/{world.mallory.name}/")):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            open_socket(world, path, origin=world.hub.url, cookie=cookie)
        assert refused.value.status_code in (302, 403)
    open_socket(world, path, origin=world.hub.url, cookie=cookies(browser, path)).close()


def test_an_answer_is_no_other_sites_to_read(world: World) -> None:
    """CORS: neither the hub nor a server lets another origin read, be it with cookies or with a token."""
    browser = world.at_work(world.alice)
    for path in ("/hub/api/user", "/hub/home", f"/user/{world.alice.name}/api/contents"):
        found = ask(world, path, cookie=cookies(browser, path), Origin=f"https://{EVIL}", Sec_Fetch_Site="cross-site")
        assert "access-control-allow-origin" not in found.headers
        assert "access-control-allow-credentials" not in found.headers
        asked = ask(world, path, method="OPTIONS", Origin=f"https://{EVIL}", Access_Control_Request_Method="POST")
        assert "access-control-allow-origin" not in asked.headers


UP = ["..", "%2e%2e", "..%2f..", "..%5c..", "%252e%252e", "....//", "..;", "%c0%ae%c0%ae"]


@pytest.mark.parametrize("up", UP)
def test_no_path_leads_to_files_outside(world: World, up: str) -> None:
    """At the hub's own files, JupyterLab's, a server's files, its API of contents, and its static files."""
    world.notebook(world.alice)
    secret = (world.hub.state / "secrets" / "cli.token").read_text().strip().encode()
    deep = "/".join([up] * 12)
    base = f"/user/{world.alice.name}/"
    token = f"Authorization: token {world.hub.token(world.alice.name)}\r\n"
    targets = ("etc/passwd", f"{str(world.hub.state)[1:]}/secrets/cli.token", "etc/shadow")
    for place in (
        "/hub/static/",
        "/hubwright/lab/",
        f"{base}files/",
        f"{base}api/contents/",
        f"{base}static/",
        base,
        "/",
    ):
        for target in targets:
            words = f"GET {place}{deep}/{target} HTTP/1.1\r\nHost: localhost:{world.hub.port}\r\n{token}Connection: close\r\n\r\n"
            answer = send(world, words.encode())
            assert b"root:" not in answer.body and secret not in answer.body, place
            assert answer.status in (301, 302, 308, 400, 403, 404), (place, answer.status)


def test_links_out_of_a_home_lead_to_what_the_user_may_read_only(world: World) -> None:
    """A server has its user's rights and no others: a link to a secret shows nothing."""
    notebook = world.notebook(world.alice)
    link = world.alice.home / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(world.hub.state / "secrets" / "cli.token")
    answer = notebook.ask("GET", "files/link")
    assert answer.status_code in (403, 404, 500) and answer.headers["content-type"].startswith("text/html")
    assert (world.hub.state / "secrets" / "cli.token").read_text().strip() not in answer.text
    link.unlink()


@pytest.mark.parametrize(
    ("what", "statuses"),
    [
        ("X-Big: " + "x" * 2_000_000, {400, 413, 431}),
        ("Cookie: " + "a=b; " * 400_000, {400, 413, 431}),
        ("\r\n".join(f"X-{n}: y" for n in range(60_000)), {400, 413, 431}),
        ("X-Some: " + "x" * 100_000, {400, 413, 431, 502, 503}),
    ],
    ids=["one of 2 MB", "cookies of 2 MB", "60,000 lines", "one of 100 kB"],
)
def test_headers_without_end_are_refused(world: World, what: str, statuses: set[int]) -> None:
    for path in ("/hub/login", f"/user/{world.alice.name}/api"):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost:{world.hub.port}\r\nConnection: close\r\n{what}\r\n\r\n"
        assert send(world, head.encode()).status in {*statuses, 404}, path
    assert ask(world, "/hub/login").status_code == 200


def test_a_body_without_end_is_refused_and_kept_nowhere(world: World) -> None:
    """A gigabyte for the login form, announced: refused before it comes; sent in chunks: cut off, and not in memory."""
    head = f"POST /hub/login HTTP/1.1\r\nHost: localhost:{world.hub.port}\r\nConnection: close\r\n"
    before = _memory(world)
    began = time.monotonic()
    assert send(world, f"{head}Content-Length: {10**9}\r\n\r\n".encode() + b"x" * 65536).status >= 400
    chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    trusted = ssl.create_default_context(cafile=str(world.hub.trust))
    with (
        socket.create_connection(("127.0.0.1", world.hub.port), timeout=60) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            while sent < 300:
                connection.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 300 and _memory(world) - before < 250 * 2**20
    assert ask(world, "/hub/login").status_code == 200 and time.monotonic() - began < 60


def test_two_requests_in_one_are_two_and_each_is_asked_who_it_is(world: World) -> None:
    """Request smuggling: what a length hides from Caddy reaches no server behind it, with nobody's cookies."""
    host = f"Host: localhost:{world.hub.port}\r\n"
    hidden = f"GET /user/{world.alice.name}/api/contents HTTP/1.1\r\n{host}\r\n"
    world.notebook(world.alice)
    log = world.hub.state / "logs" / "users" / f"{world.alice.name}.log"
    asked = log.read_text().count("GET /user/")
    for lengths in (
        f"Content-Length: {len(hidden) + 5}\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 0x5\r\n",
    ):
        raw = f"POST /hub/login HTTP/1.1\r\n{host}{lengths}Connection: close\r\n\r\n0\r\n\r\n{hidden}".encode()
        answer = send(world, raw)
        assert answer.status in (400, 403, 405, 501) and b'"content"' not in answer.body, lengths
    assert log.read_text().count("GET /user/") == asked, "her server was asked what nobody had asked for"


def test_a_client_that_says_nothing_is_not_waited_for(world: World) -> None:
    """Half a request line does not hold a connection for longer than half a minute, nor anybody else up."""
    with socket.create_connection(("127.0.0.1", world.hub.port), timeout=60) as plain:
        plain.sendall(b"\x16\x03\x01")
        assert ask(world, "/hub/login").status_code == 200
        began = time.monotonic()
        plain.recv(100)
        assert time.monotonic() - began < 45


def test_what_is_sent_to_the_wrong_kind_of_port_is_answered_in_words(world: World) -> None:
    """Plain HTTP is sent on, and no password of it goes further."""
    answer = httpx.post(f"http://127.0.0.1:{world.hub.port}/hub/login", data={"password": "x"}, timeout=30)
    assert answer.status_code == 308 and answer.headers["location"].startswith("https://127.0.0.1")


def _memory(world: World) -> int:
    text = Path(f"/proc/{world.hub.part('hub')}/statm").read_text()
    return int(text.split()[1]) * 4096
