"""SQLite as the hub's database: a write-ahead log, so that a commit does not wait for the disk.

JupyterHub commits some twenty times while a server starts, in its event loop; each waited 2.5 ms for the disk where it
was measured, and 0.02 ms so. The database stays consistent through a crash or a power cut; a power cut (not a crash
of the hub or the machine's programs) may lose the last commits (https://sqlite.org/wal.html, "synchronous=NORMAL").
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine


def write_ahead() -> None:
    """Have every SQLite connection of this process keep a write-ahead log; other databases are left alone."""
    event.listen(Engine, "connect", _on_connect)


def _on_connect(connection: Any, _record: Any) -> None:
    if type(connection).__module__.partition(".")[0] == "sqlite3":
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:  # a full disk, or somebody else's lock
            raise
        except sqlite3.DatabaseError as error:
            sys.exit(
                f"The database hub.sqlite, in the state folder, is damaged: {error}. Put a copy back, or move it away: "
                "the service starts with a new one then, which knows nobody but whom hub.yaml names."
            )
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()
