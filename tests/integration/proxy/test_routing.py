"""Where a request arrives, by traffic through the real Caddy."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import websocket
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jupyterhub.utils import url_escape_path

from hubwright.errors import Refused


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/", "hub"),
        ("/hub/home", "hub"),
        ("/user/ann/", "ann"),
        ("/user/ann", "ann"),
        ("/user/ann?x=1", "ann"),
        ("/user/ann/api/contents/a%2Fb", "ann"),
        ("/user/%61nn/lab", "ann"),
        ("/user/ann/lab2/tree", "ann-lab2"),
        ("/user/ann/lab2", "ann-lab2"),
        ("/user/ann/lab", "ann"),
        ("/user/bob/lab2/", "bob"),
        ("/services/mail/x", "service"),
        ("/user/carol/lab", "hub"),
        ("/services/other/", "hub"),
        ("/user/", "hub"),
        ("/user//ann/", "hub"),
        ("//user/ann/", "hub"),
        ("/users/ann/", "hub"),
        ("/User/ann/", "hub"),
        ("/user/ANN/", "hub"),
    ],
)
def test_request_arrives_where_its_route_says(front: Any, path: str, who: str) -> None:
    """Unchanged, and without a route at the hub, which then says that the server is not running."""
    told = front.ask(path).told
    assert (told["who"], told["uri"]) == (who, path)


def test_methods_and_large_bodies_pass(front: Any) -> None:
    answer = front.ask("/user/ann/api", method="PUT", body=os.urandom(5_000_000))
    assert (answer.told["method"], answer.told["size"]) == ("PUT", 5_000_000)


@pytest.mark.parametrize("path", ["/hub/x", "/user/ann/x"])
def test_many_cookies_pass(front: Any, path: str) -> None:
    """Each server and each unfinished login has some."""
    cookies = "; ".join(f"jupyterhub-user-{number}={'x' * 200}" for number in range(240))
    assert front.ask(path, headers=f"Cookie: {cookies}\r\n").told["headers"]["Cookie"] == cookies


@pytest.mark.parametrize("path", ["/user/ann/lab2/ws", "/user/bob/ws", "/services/mail/ws"])
def test_websockets_pass(front: Any, path: str) -> None:
    url = f"ws://127.0.0.1:{front.listeners[0].getsockname()[1]}{path}"
    connection = websocket.create_connection(url, timeout=10)
    for message in ("text", "x" * 200_000):
        connection.send(message)
        assert connection.recv() == message
    connection.close()


@pytest.mark.parametrize("query", ["", "?sized=1"])
def test_an_answer_that_comes_slowly_is_passed_on_at_once(front: Any, query: str) -> None:
    """Also one that tells its length beforehand."""
    with socket.create_connection(front.listeners[0].getsockname(), 10) as connection:
        start = time.monotonic()
        connection.sendall(f"GET /user/ann/stream{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while b"one" not in data:
            data += connection.recv(4096)
        assert time.monotonic() - start < 0.8
        assert b"two" not in data


def test_a_base_path_comes_before_everything(make_front: Callable[..., Any]) -> None:
    front = make_front("/jupyter.x/")
    front.serve("/jupyter.x/user/ann/", "ann")
    front.serve("/jupyter.x/user/ann/lab2/", "ann-lab2")
    asked = ("/jupyter.x/user/ann/a", "/jupyter.x/user/ann/lab2/", "/jupyterxx/user/ann/", "/user/ann/", "/")
    assert [front.ask(path).who for path in asked] == ["ann", "ann-lab2", "hub", "hub", "hub"]
    statuses = [front.ask(path, internal=True).status for path in ("/jupyter.x/hub/api/", "/hub/api/")]
    assert statuses == [200, 404]


def test_a_route_is_gone_when_deleted(front: Any) -> None:
    front.serve("/user/dora/", "dora")
    assert front.ask("/user/dora/").who == "dora"
    front.table.delete("/user/dora/")
    assert front.ask("/user/dora/").who == "hub"


def test_of_two_targets_in_a_damaged_entry_the_next_add_leaves_one(front: Any) -> None:
    front.serve("/user/emil/", "emil")
    (front.site.routes / "user@emil" / "unix:a-wrong-one").touch()
    front.serve("/user/emil/", "emil2")
    assert {front.ask("/user/emil/").who for _ in range(20)} == {"emil2"}


NASTY = [
    "..", ".", "...", "%2e%2e", "%252e%252e", "..%2f", "%2f", "%252f", "%5c..", "a%2fb", "*", "?", "[a-z]", "{a,b}", "a*", "ann*",
    "an?", "[a]nn", "%2A", "%3F", "%5Bann%5D", "%7Bann%7D", "{http.request.host}", "%7Bhttp.request.host%7D", "{env.HOME}",
    "_", "@", "ann@lab2", "ann%40lab2", "ann%40evil", "%00", "ann%00", "\\", "%5C%2A", "a" * 300, "%C3%A9", "e%CC%81", "%ff",
    "ann.", ".ann", "ann%20", "+", "ann+", "~", "ANN", "%41NN", "ann%2flab2", "ann%2f..%2fbob", "..;", "ann;x", "unix:ann", "%25",
]  # fmt: skip
name = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=12)
anything = st.binary(min_size=1, max_size=12).map(lambda raw: "".join(f"%{byte:02X}" for byte in raw))
spelled = st.one_of(st.sampled_from(NASTY), name.map(url_escape_path), anything)


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize(
    "pattern", ["/user/{}/", "/user/{}/lab2/", "/user/ann/{}/", "/user/ann/../{}/", "/{}/user/ann/"]
)
def test_no_name_reaches_another_user_s_server(front: Any, nasty: str, pattern: str) -> None:
    """Ann's server is reached only below /user/ann/, where also her cookies are sent, and bob's never."""
    path = pattern.replace("{}", nasty)
    answer = front.ask(path.encode())
    if answer.status == 200:
        decoded = unquote_to_bytes(path.split("?")[0])
        below = decoded.startswith(b"/user/ann/")
        assert answer.who in ({"ann", "ann-lab2"} if below else {"hub"})
    else:
        assert answer.status == 400


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(user="{http.request.host}", server="*")
@example(user="..", server="..")
@example(user="e\u0301", server="\u00e9")
@given(user=name, server=name)
def test_every_name_has_a_route_that_only_it_reaches(front: Any, user: str, server: str) -> None:
    """Whatever a user is called, the escapes of JupyterHub and of a browser both find the server, others do not."""
    spec, named = f"/user/{url_escape_path(user)}/", f"/user/{url_escape_path(user)}/{url_escape_path(server)}/"
    everything = "".join(f"%{byte:02x}" for byte in user.encode())
    if user in ("ann", "bob"):
        return
    try:
        front.serve(spec, "fuzz")
        front.serve(named, "fuzz-named")
    except Refused as refused:
        assert "too long" in str(refused)
        return
    try:
        for way in (spec, f"/user/{everything}/", f"/user/{everything}/zzzzzzzzzzzzzzz"):
            assert front.ask(way).who == "fuzz"
        assert front.ask(named + "tree").who == "fuzz-named"
        assert [front.ask(way).who for way in ("/user/ann/", "/user/bob/", "/user/x-ann/")] == ["ann", "bob", "hub"]
    finally:
        front.table.delete(spec)
        front.table.delete(named)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=spelled, second=spelled)
def test_no_url_leaves_the_table(front: Any, first: str, second: str) -> None:
    """Random names and bytes find the hub: nothing but the routes that exist."""
    answer = front.ask(f"/user/{first}/{second}/x".encode())
    if answer.status == 200:
        decoded = unquote_to_bytes(f"{first}/{second}/x".split("?")[0])
        if not decoded.startswith((b"ann/", b"bob/")):
            assert answer.who == "hub"
    else:
        assert answer.status == 400
