"""Requests while something behind or in front of them changes, dies or comes back."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubwright.errors import MachineError
from hubwright.proxy.table import Table


def test_a_restarting_hub_is_waited_for(make_front: Callable[..., Any]) -> None:
    """No socket for two seconds, then one where nobody listens, then the hub: all requests, POST too, arrive once."""
    front = make_front(hub=False)
    with ThreadPoolExecutor(8) as pool:
        start = time.monotonic()
        asked = [pool.submit(front.ask, "/hub/home"), pool.submit(front.ask, "/user/nobody/")]
        asked.append(pool.submit(front.ask, "/hub/api/users", method="POST", body=b"x" * 100_000, internal=True))
        asked.append(pool.submit(front.ask, "/hub/login", method="POST", body=b"user=x"))
        time.sleep(2)
        front.upstreams.start("early", front.site.run / "early.sock")
        front.upstreams.stop("early")
        (front.site.run / "early.sock").rename(front.site.hub_socket)
        time.sleep(3)
        assert not any(future.done() for future in asked)
        front.site.hub_socket.unlink()
        front.upstreams.start("hub", front.site.hub_socket)
        answers = [future.result(30) for future in asked]
    assert [answer.who for answer in answers] == ["hub"] * 4
    assert [answer.told["size"] for answer in answers] == [0, 0, 100_000, 6]
    assert 5 <= time.monotonic() - start < 8


def test_a_running_hub_that_stops_and_comes_back_answers_all(make_front: Callable[..., Any]) -> None:
    """Connections that Caddy kept open to the old one do no harm."""
    front = make_front()
    for _ in range(20):
        assert front.ask("/hub/x").who == "hub"
    for _ in range(3):
        front.upstreams.stop("hub")
        front.site.hub_socket.unlink()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(front.ask, "/hub/api/x", method="POST", body=b"x") for _ in range(4)]
            time.sleep(0.5)
            front.upstreams.start("hub", front.site.hub_socket)
            assert [future.result(30).status for future in asked] == [200] * 4


def test_a_caddy_that_stops_leaves_the_socket_where_it_is(make_front: Callable[..., Any]) -> None:
    """Its file is not Caddy's to remove: notebooks know it, and the next Caddy listens there."""
    front = make_front()
    made = front.site.api_socket.lstat()
    for _ in range(2):
        assert front.ask("/hub/api/x", internal=True).who == "hub"
        assert front.process
        front.process.terminate()
        assert front.process.wait(10) == 0
        assert front.site.api_socket.lstat().st_ino == made.st_ino
        front.start()
    assert front.ask("/hub/api/x", internal=True).who == "hub"


def test_caddy_killed_under_load_comes_back_with_all_routes(make_front: Callable[..., Any]) -> None:
    """The ports stay bound: who connects while it is away waits, nobody is refused."""
    front = make_front()
    front.serve("/user/ann/", "ann")
    for _ in range(3):
        front.kill()
        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(front.ask, path) for path in ("/user/ann/x", "/hub/home") * 8]
            time.sleep(0.5)
            front.start()
            answers = [future.result(30) for future in asked]
        assert [answer.who for answer in answers] == ["ann", "hub"] * 8


def test_a_target_replaced_under_load_is_never_missed(front: Any) -> None:
    """Each answer comes from the old or the new server; after the replacement returned, from the new one only."""
    front.serve("/user/mia/", "mia")
    front.serve("/user/mia/lab2/", "mia-1")
    front.serve("/user/mia/lab2/", "mia-2")
    stop = threading.Event()

    def ask() -> list[tuple[int, bytes]]:
        seen = []
        while not stop.is_set():
            answer = front.ask("/user/mia/lab2/x")
            seen.append((answer.status, answer.body))
        return seen

    def asked_once() -> str:
        return front.ask("/user/mia/lab2/x").who

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(ask) for _ in range(3)]
        try:
            for turn in range(600):
                key = f"mia-{turn % 2 + 1}"
                front.route("/user/mia/lab2/", key)
                if turn % 10 == 0:
                    assert asked_once() == key
        finally:
            stop.set()
        seen = [answer for future in running for answer in future.result(30)]
    assert len(seen) > 50
    assert {status for status, _ in seen} == {200}
    assert {b'"mia-1"' in body or b'"mia-2"' in body for _, body in seen} == {True}


def test_routes_come_and_go_while_others_are_used(front: Any) -> None:
    """Adding and deleting other routes never disturbs one that stays."""
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            front.table.add(f"/user/churn{number % 50}/", "http://127.0.0.1:9", {})
            front.table.delete(f"/user/churn{(number + 25) % 50}/")

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        assert {front.ask("/user/ann/").who for _ in range(300)} == {"ann"}
    finally:
        stop.set()
        writer.join()
        for number in range(50):
            front.table.delete(f"/user/churn{number}/")


@pytest.mark.root
def test_a_full_file_system_keeps_the_old_routes(tmp_path: Path) -> None:
    """A tmpfs of 64 kB: the error says so, the old target stays, and it goes on when there is room."""
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mount)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.decode()}")
    try:
        table = Table(mount / "routes", tmp_path / "servers", "/")
        table.add("/user/ann/", "http://127.0.0.1:1", {})
        filler = mount / "filler"
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        for name in ("ann", "bob"):
            with pytest.raises(MachineError, match=r"No space left.*Make room"):
                table.add(f"/user/{name}/", "http://127.0.0.1:2", {})
        assert [entry.target for entry in table.entries()] == ["http://127.0.0.1:1"]
        filler.unlink()
        table.add("/user/ann/", "http://127.0.0.1:2", {})
        assert [entry.target for entry in table.entries()] == ["http://127.0.0.1:2"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)
