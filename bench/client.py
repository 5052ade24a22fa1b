"""A user over the real API: starts a server, opens a notebook session, and runs one cell through the websocket."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp


class Failed(RuntimeError):
    """What did not work for this user, in a sentence."""


@dataclass(frozen=True)
class Times:
    """Seconds from the start request to each step."""

    ready: float
    session: float
    result: float


@dataclass(frozen=True)
class Cell:
    """What the first cell is."""

    code: str = "6*7"
    result: str = "42"


class User:
    """One user of one stack, by his own API token. Nothing is polled: every wait is one open request.

    The server is ready when the hub answers 201 to the start request, or, when it answers 202 after its own 10 s
    (`slow_spawn_timeout`), when the progress stream says so. The session is made as JupyterLab makes it for a notebook.
    """

    def __init__(self, url: str, name: str, token: str, cell: Cell = Cell()) -> None:
        self.url, self.name, self.cell = url, name, cell
        self._headers = {"Authorization": f"token {token}"}

    async def __aenter__(self) -> Self:
        wait = aiohttp.ClientTimeout(total=None)
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=wait, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def first_result(self, deadline: float) -> Times:
        """Start, open, run; raises `Failed` when any step does, or when `deadline` seconds have passed."""
        step = "the server"
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(deadline):
                await self._start()
                ready = time.perf_counter() - begin
                step = "the session"
                kernel = await self._open()
                session = time.perf_counter() - begin
                step = "the result"
                await self._execute(kernel)
                return Times(ready, session, time.perf_counter() - begin)
        except TimeoutError as error:
            raise Failed(f"{self.name}: {step} took longer than {deadline:.0f} s") from error
        except aiohttp.ClientError as error:
            raise Failed(f"{self.name}: {step}: {error!r}") from error

    async def start(self) -> None:
        """Start the server, and ask it which kernels it has, as JupyterLab does; raises `Failed` when it does not."""
        await self._start()
        async with self._http.get(f"{self.url}/user/{self.name}/api/kernelspecs") as answer:
            if answer.status != 200:
                raise Failed(f"{self.name}: the server answered {answer.status}")

    async def first_cell(self) -> tuple[float, float]:
        """Return the seconds from asking for a kernel to the first cell's result, and those of the cell alone."""
        begin = time.perf_counter()
        kernel = await self._open()
        cell = await self._execute(kernel)
        return time.perf_counter() - begin, cell

    async def _start(self) -> None:
        address = f"{self.url}/hub/api/users/{self.name}"
        async with self._http.post(f"{address}/server", json={}) as answer:
            if answer.status == 201:
                return
            if answer.status != 202:
                raise Failed(f"{self.name}: start answered {answer.status}: {(await answer.text())[:200]}")
        async with self._http.get(f"{address}/server/progress") as stream:
            async for line in stream.content:
                if not line.startswith(b"data:"):
                    continue
                event = json.loads(line[5:])
                if event.get("failed"):
                    raise Failed(f"{self.name}: {event.get('message')}")
                if event.get("ready"):
                    return
        raise Failed(f"{self.name}: the progress stream ended before the server was ready")

    async def _open(self) -> str:
        body = {"path": "x.ipynb", "name": "x.ipynb", "type": "notebook", "kernel": {"name": "python3"}}
        async with self._http.post(f"{self.url}/user/{self.name}/api/sessions", json=body) as answer:
            if answer.status != 201:
                raise Failed(f"{self.name}: session answered {answer.status}: {(await answer.text())[:200]}")
            return str((await answer.json())["kernel"]["id"])

    async def _execute(self, kernel: str) -> float:
        """Run the cell; return the seconds from sending it, over a websocket that is open, to its result."""
        session = uuid.uuid4().hex
        address = f"{self.url}/user/{self.name}/api/kernels/{kernel}/channels?session_id={session}"
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": session, "username": self.name}
        header |= {"version": "5.3", "date": "2026-01-01T00:00:00Z"}
        content = {
            "code": self.cell.code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
        }
        request = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
        async with self._http.ws_connect(address, max_msg_size=0) as socket:
            begin = time.perf_counter()
            await socket.send_json(request)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                reply = json.loads(message.data)
                if reply["msg_type"] == "execute_result":
                    if reply["content"]["data"]["text/plain"] != self.cell.result:
                        raise Failed(f"{self.name}: {self.cell.code} gave {reply['content']['data']}")
                    return time.perf_counter() - begin
        raise Failed(f"{self.name}: the websocket closed before the result")
