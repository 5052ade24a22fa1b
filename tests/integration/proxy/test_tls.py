"""Caddy with a certificate: what it speaks, what it says, and what a new certificate does to those who are connected."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import websocket
from cryptography.hazmat.primitives.serialization import Encoding
from tests.certificates import make
from tests.conftest import wait_until

from hubwright.fields import Site
from hubwright.proxy.https.certificate import Pair, deploy
from hubwright.proxy.serving import Serving

SERVING = Serving(encrypts=True, redirect=("127.0.0.1", 80), hsts=86400)


@dataclass(frozen=True)
class Seen:
    """What a client was shown."""

    version: str
    certificate: bytes


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def secure(make_front: Callable[..., Any], pair: Pair) -> Any:
    front = make_front(serving=SERVING, pair=pair)
    front.serve("/user/ann/", "ann")
    wait_until(lambda: seen_by(front.site, pair) is not None)
    return front


@pytest.fixture
def fresh(make_front: Callable[..., Any], pair: Pair) -> Iterator[Any]:
    """A Caddy whose certificate is renewed."""
    front = make_front(serving=SERVING, pair=pair)
    front.serve("/user/ann/", "ann")
    wait_until(lambda: seen_by(front.site, pair) is not None)
    yield front


def context(pair: Pair | None = None, **limits: Any) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=pair.chain.decode()) if pair else ssl._create_unverified_context()
    for name, value in limits.items():
        setattr(made, name, value)
    return made


def seen_by(site: Site, pair: Pair | None, *, name: str = "localhost", **limits: Any) -> Seen | None:
    """Shake hands; None when that fails."""
    try:
        with (
            socket.create_connection(site.listen, timeout=5) as plain,
            context(pair, **limits).wrap_socket(plain, server_hostname=name) as connection,
        ):
            return Seen(connection.version() or "", connection.getpeercert(binary_form=True) or b"")
    except OSError:
        return None


def ask(front: Any, path: str, headers: str = "") -> Any:
    """One request over TLS, as `Front.ask` over a plain connection."""
    from tests.integration.proxy.conftest import read_answer

    with (
        socket.create_connection(front.site.listen, timeout=20) as plain,
        context().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: front\r\nConnection: close\r\n{headers}\r\n".encode())
        return read_answer(connection)


def renew(front: Any, pair: Pair) -> None:
    deploy(pair, front.site)
    front.process.send_signal(signal.SIGUSR1)


def test_tls_1_2_and_up_only(secure: Any, pair: Pair) -> None:
    for version, spoken in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        found = seen_by(secure.site, pair, minimum_version=version, maximum_version=version)
        assert found is not None and found.version == spoken
    for old in ("-tls1", "-tls1_1"):
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.site.listen[1]}", old]
        done = subprocess.run([*words, "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True)
        assert done.returncode != 0 and "alert protocol version" in done.stderr, done.stderr


def test_without_a_name_and_with_any_name_the_certificate_is_the_same(secure: Any, pair: Pair) -> None:
    """Who comes by an address sends none; a wrong one is for the browser to refuse, which then says what it is."""
    for name in ("127.0.0.1", "localhost", "somebody.example.org"):
        found = seen_by(secure.site, None, name=name)
        assert found is not None and found.certificate == pair.leaf.public_bytes(Encoding.DER)


def test_http_2_is_offered_and_works(secure: Any) -> None:
    url = f"https://127.0.0.1:{secure.site.listen[1]}/user/ann/x"
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt install curl")
    words = ["curl", "-sk", "--http2", "-w", "\n%{http_version} %{http_code}", url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    body, _, spoken = done.stdout.rpartition("\n")
    assert spoken == "2 200" and json.loads(body)["who"] == "ann"


def test_every_answer_has_the_headers_once(secure: Any) -> None:
    """Answers of the hub, of a server, of Caddy's own pages and of a redirect by the hub."""
    secure.route("/user/gone/", "gone")
    for path in ("/hub/x", "/user/ann/x", "/hubwright/lab/none"):
        found = ask(secure, path)
        assert found.headers["strict-transport-security"] == "max-age=86400"
        assert found.headers.get("x-content-type-options") == "nosniff" or found.status >= 400
    assert ask(secure, "/user/gone/").headers["strict-transport-security"] == "max-age=86400"
    assert "referrer-policy" in ask(secure, "/hub/x").headers


def test_those_behind_are_told_that_it_is_https(secure: Any) -> None:
    """Whatever the client says: by it cookies are marked secure."""
    for path in ("/hub/x", "/user/ann/x"):
        told = dict(ask(secure, path, "X-Forwarded-Proto: http\r\nX-Forwarded-For: 1.2.3.4\r\n").told["headers"])
        assert told["X-Forwarded-Proto"] == "https" and told["X-Forwarded-For"] == "127.0.0.1"


def test_plain_http_is_sent_on(secure: Any) -> None:
    """From the port for it, and from the port of HTTPS itself."""
    from tests.integration.proxy.conftest import read_answer

    port = secure.site.listen[1]
    for listener in (secure.listeners[2], secure.listeners[0]):
        with socket.create_connection(listener.getsockname(), timeout=10) as connection:
            host = f"localhost:{listener.getsockname()[1]}"
            connection.sendall(f"GET /hub/a?b=c HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = read_answer(connection)
        assert (answer.status, answer.headers["location"]) == (308, f"https://localhost:{port}/hub/a?b=c")


def test_a_websocket_and_a_stream_live_through_a_renewal(fresh: Any, pair: Pair) -> None:
    """Who is connected stays so, who comes next sees the new certificate, and nobody is refused in between.

    A connection that is made in the very milliseconds may be closed before it is answered: Go's server, once it is to
    end, takes no new request from it. Clients ask again then; HTTP/2 tells them to.
    """
    port = fresh.site.listen[1]
    told = {"sslopt": {"cert_reqs": ssl.CERT_NONE}, "timeout": 20}
    sockets = [
        websocket.create_connection(f"wss://127.0.0.1:{port}{path}/ws", **told) for path in ("/hub", "/user/ann")
    ]
    stop, statuses, unanswered = threading.Event(), [], []
    streamed: list[bytes] = []

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                statuses.append(ask(fresh, "/user/ann/x").status)
            except (ssl.SSLError, ConnectionResetError, IndexError):
                unanswered.append(time.monotonic())
                time.sleep(0.05)

    def stream() -> None:
        streamed.append(ask(fresh, "/user/ann/stream").body)

    threads = [threading.Thread(target=keep_asking), threading.Thread(target=stream)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        for _ in range(3):
            another = make("127.0.0.1", "localhost")
            renew(fresh, another)
            wait_until(lambda: seen_by(fresh.site, another) is not None)  # noqa: B023
            for one in sockets:
                one.send("still here")
                assert one.recv() == "still here"
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
        for one in sockets:
            one.shutdown()
    assert set(statuses) == {200} and len(unanswered) <= 3
    assert streamed == [b"one\ntwo\n"]
    assert fresh.process.poll() is None


def test_a_file_that_cannot_be_used_leaves_the_old_certificate(fresh: Any, pair: Pair) -> None:
    for content in (b"garbage", b"", pair.chain + make("x").key):
        fresh.site.certificate.write_bytes(content)
        fresh.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        assert fresh.process.poll() is None and seen_by(fresh.site, pair) is not None
    renew(fresh, another := make("localhost"))
    wait_until(lambda: seen_by(fresh.site, another) is not None)


def test_the_authority_may_be_fetched_and_nothing_beside_it(make_front: Callable[..., Any], pair: Pair) -> None:
    front = make_front(serving=Serving(encrypts=True, authority=Path("/")), pair=pair)
    front.kill()
    front.site.state.mkdir()
    front.site.authority.write_bytes(pair.chain)
    (front.site.state / "hub.sqlite").write_text("secret")
    front.serving = Serving(encrypts=True, authority=front.site.authority)
    front.start()
    wait_until(lambda: seen_by(front.site, pair) is not None)
    found = ask(front, "/hubwright/authority.crt")
    assert found.body == pair.chain and found.headers["content-type"] == "application/x-x509-ca-cert"
    for path in (
        "/hubwright/hub.sqlite",
        "/hubwright/authority.crt/../hub.sqlite",
        "/hubwright/authority.crt%2f..%2fhub.sqlite",
    ):
        assert b"secret" not in ask(front, path).body
