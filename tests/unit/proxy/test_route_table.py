"""The routing table on a real file system."""

import os
import statistics
import threading
import time
from pathlib import Path

import pytest

from hubwright.errors import MachineError
from hubwright.proxy.table import Damaged, Route, Table

HERE, THERE = "http://127.0.0.1:1001", "http://127.0.0.1:1002"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "routes", tmp_path / "servers", "/")


def files(table: Table) -> list[str]:
    return sorted(str(p.relative_to(table.root)) for p in table.root.rglob("*") if p.is_file())


def test_route_is_found_as_it_was_given(table: Table) -> None:
    table.add("/user/ann%40x/", HERE, {"user": "ann@x", "server_name": ""})
    assert table.get("/user/ann%40x/") == Route("/user/ann%40x/", HERE, {"user": "ann@x", "server_name": ""})
    assert list(table.entries()) == [table.get("/user/ann%40x/")]
    assert files(table) == ["user@ann%40x/tcp:127.0.0.1:1001"]


def test_an_empty_or_missing_table_has_no_routes(table: Table) -> None:
    assert list(table.entries()) == []
    assert table.get("/user/ann/") is None
    table.delete("/user/ann/")


def test_only_the_owner_may_look(table: Table) -> None:
    table.add("/user/ann/", HERE, {})
    assert [p.stat().st_mode & 0o077 for p in (table.root, *table.root.rglob("*"))] == [0, 0, 0]


def test_replacing_leaves_one_target(table: Table) -> None:
    table.add("/user/ann/", HERE, {})
    table.add("/user/ann/", THERE, {"new": 1})
    assert files(table) == ["user@ann/tcp:127.0.0.1:1002"]
    assert table.get("/user/ann/") == Route("/user/ann/", THERE, {"new": 1})


def test_named_servers_are_routes_of_their_own(table: Table) -> None:
    table.add("/user/ann/", HERE, {})
    table.add("/user/ann/lab2/", THERE, {})
    table.delete("/user/ann/")
    assert [entry.routespec for entry in table.entries() if isinstance(entry, Route)] == ["/user/ann/lab2/"]


def test_a_reader_never_misses_a_target_that_is_being_replaced(table: Table) -> None:
    """Caddy lists the folder: at each moment it holds one or the other, and readers see whole routes."""
    table.add("/user/ann/", HERE, {})
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            table.add("/user/ann/", THERE, {})
            table.add("/user/ann/", HERE, {})

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(3000):
            assert os.listdir(table.root / "user@ann")
            assert all(isinstance(entry, Route) for entry in table.entries())
    finally:
        stop.set()
        writer.join()


def spoil_content(folder: Path) -> None:
    next(folder.iterdir()).write_text("{")


def spoil_name(folder: Path) -> None:
    next(folder.iterdir()).rename(folder / "unix:A.B")


def spoil_many(folder: Path) -> None:
    (folder / "tcp:10.0.0.1:1").touch()


def spoil_empty(folder: Path) -> None:
    next(folder.iterdir()).unlink()


def spoil_folder_inside(folder: Path) -> None:
    spoil_empty(folder)
    (folder / "tcp:10.0.0.1:1" / "deep").mkdir(parents=True)


def spoil_file_instead(folder: Path) -> None:
    spoil_empty(folder)
    folder.rmdir()
    folder.write_bytes(b"\xff")


def spoil_link_instead(folder: Path) -> None:
    spoil_empty(folder)
    folder.rmdir()
    folder.symlink_to("/etc")


SPOILS = [
    spoil_content,
    spoil_name,
    spoil_many,
    spoil_empty,
    spoil_folder_inside,
    spoil_file_instead,
    spoil_link_instead,
]


def test_the_name_counts_when_the_content_differs(table: Table) -> None:
    """Caddy follows the name, so that is what the hub's check has to hear of."""
    table.add("/user/ann/", HERE, {"user": "ann"})
    (table.root / "user@ann/tcp:127.0.0.1:1001").rename(table.root / "user@ann/unix:k1")
    found = table.get("/user/ann/")
    assert (
        found and found.target.startswith("http+unix://%2f") and found.target.endswith("%2fservers%2fk1%2fhttp.sock:80")
    )


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_damaged_entry_is_told_apart_and_written_anew(table: Table, spoil: object) -> None:
    table.add("/user/ann/", HERE, {})
    table.add("/user/bob/", HERE, {})
    spoil(table.root / "user@ann")
    assert [type(entry) for entry in table.entries()] == [Damaged, Route]
    assert table.get("/user/ann/") is None
    table.add("/user/ann/", THERE, {})
    assert table.get("/user/ann/") == Route("/user/ann/", THERE, {})
    assert files(table) == ["user@ann/tcp:127.0.0.1:1002", "user@bob/tcp:127.0.0.1:1001"]


@pytest.mark.parametrize("spoil", SPOILS)
def test_sweep_removes_what_is_still_damaged_only(table: Table, spoil: object) -> None:
    table.add("/user/ann/", HERE, {})
    table.add("/user/bob/", HERE, {})
    spoil(table.root / "user@ann")
    swept = table.sweep([table.root / "user@ann", table.root / "user@bob", table.root / "user@gone"])
    assert [entry.path.name for entry in swept] == ["user@ann"]
    assert os.listdir(table.root) == ["user@bob"]
    assert Path("/etc/passwd").exists()


def test_a_table_below_a_pattern_is_refused() -> None:
    for root in ("/run/a*b", "/run/[x]", "routes", "/run/{env.HOME}"):
        with pytest.raises(MachineError, match="cannot lie here"):
            Table(Path(root), Path("/run/servers"), "/")


def test_adding_takes_less_than_a_millisecond_with_five_thousand_present(table: Table) -> None:
    """The median; measured in bench/proxy.py at 0.06 ms."""
    times = []
    for number in range(5200):
        start = time.perf_counter()
        table.add(f"/user/u{number}/", HERE, {"user": f"u{number}", "server_name": ""})
        times.append(time.perf_counter() - start)
    assert statistics.median(times[5000:]) < 1e-3
    assert sum(1 for _ in table.entries()) == 5200
