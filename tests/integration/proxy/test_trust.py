"""What a client may claim, what each listener serves, and what Caddy answers itself."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from hubwright.proxy import publish

SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Ssl": "on",
    "X-Real-Ip": "6.6.6.6",
    "x-scheme": "https",
    "Forwarded": "for=6.6.6.6;proto=https",
}


@pytest.mark.parametrize("path", ["/hub/home", "/user/ann/", "/services/mail/"])
@pytest.mark.parametrize("connection", ["close", "close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host"])
def test_nobody_is_told_who_the_client_says_it_is(front: Any, path: str, connection: str) -> None:
    """Tornado would believe X-Real-Ip and X-Scheme before all others."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in SPOOFED.items())
    request = f"GET {path} HTTP/1.1\r\nHost: front\r\nConnection: {connection}\r\n{headers}\r\n"
    told = front.send(request.encode()).told["headers"]
    known = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "front", "X-Forwarded-Proto": "http"}
    assert {name: told.get(name.title()) for name in SPOOFED} == {name: known.get(name) for name in SPOOFED}
    assert told["Host"] == "front"


def test_what_a_login_needs_is_passed_on(front: Any) -> None:
    headers = "Cookie: a=1; b=2\r\nAuthorization: token x\r\nOrigin: http://front\r\nX-XSRFToken: y\r\n"
    told = front.ask("/user/ann/", headers=headers).told["headers"]
    assert told["Cookie"] == "a=1; b=2"
    assert (told["Authorization"], told["Origin"], told["X-Xsrftoken"]) == ("token x", "http://front", "y")


@pytest.mark.parametrize("path", ["/hub/api", "/hub/api/", "/hub/api/users/ann?x=1", "/hub/api/oauth2/token"])
def test_the_internal_listener_serves_the_hub_s_api(front: Any, path: str) -> None:
    told = front.ask(path, internal=True).told
    assert (told["who"], told["uri"]) == ("hub", path)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/hub/", "/hub/login", "/hub/apix", "/user/ann/", "/services/mail/", "/hubwright/lab/", "/HUB/api/",
        "/x/..%2fhub/api/", "/x/../hub/api/", "//hub/api/", "/hub%2fapi/", "/hub/login%2f..%2fapi/", "/hub//api/",
        "http://front/hub/login",
    ],
)  # fmt: skip
def test_the_internal_listener_serves_nothing_else(front: Any, path: str) -> None:
    assert front.ask(path, internal=True).status == 404


@pytest.mark.parametrize("path", ["/user/ann/sw.js", "/user/bob/sw.js", "/services/mail/sw.js"])
def test_no_server_s_worker_is_allowed_for_others_paths(front: Any, path: str) -> None:
    """A browser lets a script of `/user/ann/` serve `/` when the answer with it says so (Service Workers, 3.4.4)."""
    answer = front.ask(path, headers="Service-Worker: script\r\n")
    assert answer.told["uri"] == path and "service-worker-allowed" not in answer.headers


def test_a_server_that_is_gone_is_told_in_words(front: Any) -> None:
    """Its route is still there: the page says so and leads to the hub, and nothing stores it."""
    front.route("/user/dead/", "nobody-listens")
    try:
        for path in ("/user/dead/lab", "/user/dead/api/status?token=very-secret"):
            answer = front.ask(path)
            assert answer.status == 503
            assert b"Your server is not answering" in answer.body and b'href="/hub/home"' in answer.body
            assert (answer.headers["cache-control"], answer.headers["content-type"]) == (
                "no-store",
                "text/html; charset=utf-8",
            )
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert front.ask("/user/ann/").who == "ann"
    finally:
        front.table.delete("/user/dead/")
    assert "very-secret" not in front.log.read_text()


def test_a_foreign_file_in_the_table_is_no_target(front: Any) -> None:
    """A name that the table never writes leads nowhere, though Caddy sees it."""
    folder = front.site.routes / "user@odd"
    folder.mkdir()
    (folder / "unix:..").touch()
    try:
        assert front.ask("/user/odd/").status == 503
    finally:
        (folder / "unix:..").unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /hub/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET /hub/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /hub/ HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /hub/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /hub/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hub/ HTTP/1.1\r\n\r\n",
    ],
)
def test_an_ambiguous_request_is_refused(front: Any, request_line: bytes) -> None:
    assert front.send(request_line).status in (400, 501)


def test_of_two_lengths_only_one_is_passed_on(front: Any) -> None:
    """Chunked wins and the other is dropped, so that no server behind can see a second request in the body."""
    head = b"POST /hub/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    told = front.send(head + b"5\r\nhello\r\n0\r\n\r\n").told
    assert told["size"] == 5
    assert "Content-Length" not in told["headers"]


def test_an_absolute_address_is_routed_by_its_path(front: Any) -> None:
    """As RFC 9112 3.2.2 says; the host plays no part in routing."""
    assert front.ask("http://elsewhere/user/ann/x").who == "ann"
    assert front.ask("http://ann/user/bob/x").who == "bob"


@pytest.fixture(scope="module")
def lab(front: Any) -> tuple[str, Path]:
    """The address and the folder of JupyterLab's files."""
    url = publish(front.site.prefix, front.site, lambda _: None)
    (front.site.static / "secret.txt").write_text("not for the web")
    return url, front.site.static / "lab" / url.split("/")[-2]


def test_lab_files_come_compressed_and_stay_in_the_browser(front: Any, lab: tuple[str, Path]) -> None:
    url, folder = lab
    core = next(folder.glob("jlab_core.*.js"))
    answer = front.ask(url + core.name, headers="Accept-Encoding: gzip\r\n")
    assert answer.status == 200 and gzip.decompress(answer.body) == core.read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["vary"] == "Accept-Encoding"
    plain = front.ask(url + core.name)
    assert plain.body == core.read_bytes() and "content-encoding" not in plain.headers
    again = front.ask(url + core.name, headers=f"If-None-Match: {plain.headers['etag']}\r\n")
    assert (again.status, again.body) == (304, b"")


def test_lab_files_come_in_parts(front: Any, lab: tuple[str, Path]) -> None:
    url, folder = lab
    core = next(folder.glob("jlab_core.*.js"))
    answer = front.ask(url + core.name, headers="Range: bytes=10-19\r\n")
    assert (answer.status, answer.body) == (206, core.read_bytes()[10:20])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "sub/",
        "nothing.js",
        "../",
        "../../secret.txt",
        "..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "..%5c",
        "%00",
    ],
)
def test_nothing_but_lab_files_is_served_and_no_list_of_them(front: Any, lab: tuple[str, Path], path: str) -> None:
    answer = front.ask(lab[0] + path)
    assert answer.status in (400, 404) or answer.who == "hub"
    assert answer.headers.get("cache-control") != "public, max-age=31536000, immutable"
    assert b"not for the web" not in answer.body


def test_the_admin_interface_is_off_and_nothing_is_kept(front: Any) -> None:
    """Caddy listens on the two sockets it was given only, and writes no configuration of its own."""
    inodes = {link.readlink().name for link in Path(f"/proc/{front.process.pid}/fd").iterdir() if link.is_symlink()}
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = {
        int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes
    }
    assert listening == {front.site.listen[1]}
    assert not list(front.site.run.rglob("autosave.json"))
