"""Who is answered and who is believed when a proxy stands before Caddy: asked from several addresses of this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.proxy.conftest import read_answer

from hubwright.proxy.serving import Serving

CLAIMS = "X-Forwarded-For: 203.0.113.9\r\nX-Real-Ip: 203.0.113.8\r\nForwarded: for=203.0.113.7;proto=http\r\nX-Forwarded-Proto: http\r\n"


@pytest.fixture(scope="module")
def proxied(make_front: Callable[..., Any]) -> Any:
    front = make_front(serving=Serving(proxies=("127.0.0.2/32", "127.0.0.4/31")))
    front.serve("/user/ann/", "ann")
    return front


def ask(front: Any, source: str, path: str, headers: str = CLAIMS) -> Any:
    with socket.create_connection(front.site.listen, timeout=20, source_address=(source, 0)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: front\r\nConnection: close\r\n{headers}\r\n".encode())
        return read_answer(connection)


@pytest.mark.parametrize("path", ["/hub/x", "/user/ann/x"])
def test_the_proxy_is_believed_and_nobody_else(proxied: Any, path: str) -> None:
    """One header, one address: the client's, as Tornado will take it."""
    for source, client in (("127.0.0.2", "203.0.113.9"), ("127.0.0.3", "127.0.0.3"), ("127.0.0.1", "127.0.0.1")):
        told = ask(proxied, source, path).told["headers"]
        assert told["X-Forwarded-For"] == client  # a second one would be joined to it by a comma
        assert not told.keys() & {"X-Real-Ip", "Forwarded", "X-Scheme"}


def test_of_several_addresses_the_last_that_is_no_proxy_counts(proxied: Any) -> None:
    """What a client wrote before is to the left of what the proxies added."""
    chain = "X-Forwarded-For: 10.9.9.9, 203.0.113.9, 127.0.0.5\r\n"
    told = ask(proxied, "127.0.0.2", "/hub/x", chain).told["headers"]
    assert told["X-Forwarded-For"] == "203.0.113.9"
    told = ask(proxied, "127.0.0.2", "/hub/x", "X-Forwarded-For: nonsense\r\n").told["headers"]
    assert told["X-Forwarded-For"] == "127.0.0.2"


@pytest.mark.root
def test_other_machines_get_the_address_and_nothing_else(make_front: Callable[..., Any]) -> None:
    """From an address that is neither the proxy's nor of this machine's own loopback network."""
    from tests.conftest import wait_until

    front = make_front(serving=Serving(proxies=("10.99.99.99/32",)))
    front.serve("/user/ann/", "ann")
    wait_until(lambda: front.ask("/hub/x").status == 200)
    front.kill()
    mine = _address()
    if mine is None:
        pytest.skip("needs an address besides 127.0.0.1")
    front.listeners[0].close()
    front.listeners[0] = socket.create_server(("0.0.0.0", front.site.listen[1]), backlog=512)
    front.start()
    for path in ("/hub/login", "/user/ann/x", "/hubwright/lab/x"):
        with socket.create_connection((mine, front.site.listen[1]), timeout=20) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n".encode())
            answer = read_answer(connection)
        assert answer.status == 403 and answer.body == f"This service is at {front.site.public_url}\n".encode()
    assert front.ask("/hub/x").who == "hub"


def _address() -> str | None:
    """Return an address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found
