"""The hub's SQLite database keeps a write-ahead log."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from hubwright.hub import database


def test_a_connection_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    database.write_ahead()
    try:
        engine = create_engine(f"sqlite:///{tmp_path / 'hub.sqlite'}")
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
        engine.dispose()
    finally:
        event.remove(Engine, "connect", database._on_connect)
