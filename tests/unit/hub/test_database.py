"""The hub's SQLite database keeps a write-ahead log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from hubwright.hub import database


@pytest.fixture(autouse=True)
def ahead() -> Iterator[None]:
    database.write_ahead()
    yield
    event.remove(Engine, "connect", database._on_connect)


def test_a_connection_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
    engine.dispose()


def test_a_damaged_database_ends_the_hub_with_a_sentence(tmp_path: Path) -> None:
    """Neither nonsense nor the first half of a database is waited for, or shown as a traceback."""
    path = tmp_path / "hub.sqlite"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE one (two)"))
        connection.execute(text("INSERT INTO one VALUES (hex(zeroblob(100000)))"))
    engine.dispose()
    for damaged in (b"nonsense" * 1000, path.read_bytes()[:100_000]):
        path.write_bytes(damaged)
        with pytest.raises(SystemExit, match=r"hub\.sqlite, in the state folder, is damaged: .* Put a copy back"):
            engine.connect()
        engine.dispose()
