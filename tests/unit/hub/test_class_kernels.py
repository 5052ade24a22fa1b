"""What a student's server answers to who asks for its kernels may be anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hubwright.hub.classes.kernels import fetch, kernels_of

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
ANSWERS = {
    "well": (OK + b'[{"name": "python3"}]', [{"name": "python3"}]),
    "too much": (OK + b" " * 2**20 + b"[]", None),
    "too deep": (OK + b"[" * 200_000, None),
    "no JSON": (OK + b"\xff<html>", None),
    "elsewhere": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n[]", None),
    "no HTTP": (b"hello", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_only_a_short_answer_in_json_counts(kind: str, tmp_path: Path) -> None:
    answer, wanted = ANSWERS[kind]
    heard = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(talk, tmp_path / "s"):
        assert await fetch(tmp_path / "s", "/user/bob/api/kernels", "secret") == wanted
    assert b"\r\nAuthorization: token secret\r\n" in heard[0]


async def test_a_server_that_is_gone_answers_nothing(tmp_path: Path) -> None:
    assert await fetch(tmp_path / "s", "/user/bob/api/kernels", "secret") is None


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ([{"name": "stats", "execution_state": "busy"}], [("Statistics", "busy")]),
        ([{"name": "own", "execution_state": "restarting"}], [("own", "starting")]),
        ([{"name": "\u202ea\x1b[1m\n", "execution_state": "dead"}], [("a[1m", "")]),
        ([{"name": ["x"], "execution_state": {}}, None, 7, {}], [("", ""), ("", "")]),
        ([{"name": "x" * 1000}] * 1000, [("x" * 60, "")] * 20),
        ({"name": "stats"}, []),
        (None, []),
    ],
)
def test_names_are_short_and_states_are_known_ones(told: Any, wanted: list[tuple[str, str]]) -> None:
    found = kernels_of(told, {"stats": "Statistics"})
    assert [(one["name"], one["state"]) for one in found] == wanted
