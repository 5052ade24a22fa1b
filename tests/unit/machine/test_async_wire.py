"""Asking from an event loop: an answer, or one clear error; never a wait without end."""

import asyncio
import time

import pytest

from hubwright.errors import NotRunning
from hubwright.machine import async_wire, wire


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.sock"


@pytest.fixture
async def program(path):
    """Serve `answers(request)`, the bytes for each line that comes; hang up after them."""
    servers = []

    async def serve(answers):
        async def each(reader, writer):
            request = wire.decode(await reader.readline())
            writer.write(answers(request))
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_unix_server(each, str(path)))

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_the_answer_comes_back(program, path):
    await program(lambda request: wire.encode({"ok": True, "twice": 2 * request["number"]}))
    assert await async_wire.ask(path, {"number": 21}) == {"ok": True, "twice": 42}


async def test_two_answers_to_one_request_are_heard_one_after_the_other(program, path):
    """As the fork server does: a word at once, another when the server is ready."""
    await program(lambda _: wire.encode({"ok": True}) + wire.encode({"ready": True}))
    async with async_wire.connect(path) as connection:
        connection.send({})
        assert await connection.receive(5) == {"ok": True}
        assert await connection.receive(5) == {"ready": True}
        assert await connection.receive(5) == {}


@pytest.mark.parametrize(
    "answer", [b"", b"cut off", b"nonsense\n", b"[1]\n", b"x" * (wire.LIMIT + 2) + b"\n"], ids=lambda text: text[:9]
)
async def test_what_is_no_answer_is_told(program, path, answer):
    await program(lambda _: answer)
    with pytest.raises(NotRunning, match="does not answer") as told:
        await async_wire.ask(path, {})
    assert told.value.problem.where == str(path)


async def test_a_silent_program_is_not_waited_for_longer_than_said(path):
    with wire.listen(path, 0o600):
        began = time.monotonic()
        with pytest.raises(NotRunning, match=r"nothing came within 0\.2 s"):
            await async_wire.ask(path, {}, timeout=0.2)
        assert time.monotonic() - began < 2


async def test_nobody_there_is_told_at_once(path):
    with pytest.raises(NotRunning, match="No such file"):
        await async_wire.ask(path, {})
    wire.listen(path, 0o600).close()
    with pytest.raises(NotRunning, match="refused"):
        await async_wire.ask(path, {})


async def test_one_that_is_being_started_is_waited_for(program, path):
    asked = asyncio.ensure_future(async_wire.ask(path, {}, patience=10))
    await asyncio.sleep(0.3)
    assert not asked.done()
    await program(lambda _: wire.encode({"ok": True}))
    assert await asked == {"ok": True}
