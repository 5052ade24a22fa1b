"""The hub's side of the local engine: a JupyterHub spawner that asks the fork server and never blocks the loop."""

from __future__ import annotations

import asyncio
import os
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from jupyterhub.spawner import SpawnException
from traitlets import Float, Int, List, Unicode

from hubwright.engines.granting import GrantingMixin
from hubwright.engines.local import marks
from hubwright.errors import NotRunning
from hubwright.fields import Site, format_bytes, server_key, unix_url
from hubwright.machine import async_wire, gpus, site_file
from hubwright.machine.process import Process
from hubwright.profiles.grants import Grant, NotGranted

_ANSWER = 15.0
"""Seconds the fork server has to answer."""
_REASON = 200
"""Characters of a log that are told as the reason of an end."""
_AGAIN = 1.0
"""Seconds until a fork server that went away is asked again about a server's end."""


class ForkSpawner(GrantingMixin):
    """Starts each server by a fork of the fork server, as its Unix user, within its limits."""

    memory = Int(None, allow_none=True, config=True, help="Bytes of memory a server may take.")
    cpu = Float(None, allow_none=True, config=True, help="Processors a server may take.")
    processes = Int(None, allow_none=True, config=True, help="Processes and threads a server may have.")
    gpus_named = List(None, allow_none=True, config=True, help="The GPUs that servers may have; None for all.")
    stop_grace = Float(10, config=True, help="Seconds a server has to end by itself before it is ended.")
    site_path = Unicode(config=True, help="The site.json of this service; $HUBWRIGHT_SITE by default.")

    enforces: ClassVar[frozenset[str]] = frozenset({"processes", "gpus", "reserve"})
    process: Process | None = None
    _watching: asyncio.Future[None] | None = None

    @cached_property
    def site(self) -> Site:
        """Where the service keeps its things; it stays so while a hub runs."""
        return site_file.load(Path(self.site_path or os.environ["HUBWRIGHT_SITE"]))

    @property
    def key(self) -> str:
        """The server's name in paths."""
        return server_key(self.user.name, self.name)

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.site.servers / self.key / "http.sock"

    @property
    def address(self) -> str:
        """How the hub and Caddy reach the server: its Unix socket, as JupyterHub writes one."""
        return unix_url(self.socket, "", 80)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that an earlier hub started."""
        super().load_state(state)
        if "pid" in state:
            self.process = Process(int(state["pid"]), int(state["started"]))

    def get_state(self) -> dict[str, Any]:
        """Return what a later hub needs to find the server."""
        state: dict[str, Any] = super().get_state()
        if self.process:
            state |= {"pid": self.process.pid, "started": self.process.started}
        return state

    def clear_state(self) -> None:
        """Forget the server."""
        super().clear_state()
        self.process = None

    def get_env(self) -> dict[str, str]:
        """Return the hub's variables for the server; a login's own are added where the account is known."""
        env: dict[str, str] = super().get_env()
        env["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.1:0{env['JUPYTERHUB_SERVICE_PREFIX']}"
        env["HUBWRIGHT_SERVER"] = self.key
        return env

    def get_args(self) -> list[str]:
        """Return the server's settings."""
        return [*marks.arguments(self.site), *super().get_args()]

    def without_profiles(self) -> Grant:
        """Return the limits of hub.yaml's `engine` section."""
        return Grant(cpu=self.cpu, memory=self.memory, processes=self.processes)

    def gpus(self) -> tuple[str, ...]:
        """Return the GPUs of hub.yaml's `engine`, else those of this machine."""
        return gpus.ids() if self.gpus_named is None else tuple(self.gpus_named)

    async def start_granted(self, grant: Grant) -> str:
        """Start the server; return its address once it answers requests.

        What is the user's own may keep it from starting: then it is started once more without his settings.

        Raises:
            NotGranted: servers without a reserve use the memory that is to be reserved, or a server that the hub
                does not know has the GPU.
            SpawnException: with the reason in words, for the user's page and for the API.
        """
        size = f" with up to {format_bytes(grant.memory)} of memory" if grant.memory else ""
        self.tell(30, f"Starting your server{size}.")
        request = {
            "user": self.user.name,
            "server": self.name,
            "env": self.get_env(),
            "args": self.get_args(),
            "limits": limits_of(grant),
            "gpus": list(grant.gpus),
        }
        started = await self._launch(request)
        if not started and await self._ended_by_itself():
            why = await self._last_words()
            self.tell(60, "It ended while it started. Starting it without your own settings of Jupyter.")
            reason = (why.strip().splitlines() or ["it ended without a word"])[-1][-_REASON:].rstrip(".")
            request["args"] = [*request["args"], f"--HandedServerApp.without_own_settings={reason}"]
            started = await self._launch(request)
        if not started:
            words = f"The server ended while it started. Its log ends:\n{await self._last_words()}"
            raise SpawnException(words, reason="ended", status_code=500)
        return self.address

    async def _launch(self, request: dict[str, Any]) -> bool:
        """Start the server, in place of what an earlier start has left; return whether it answers, or has ended.

        Raises:
            NotGranted: as `start_granted`.
            SpawnException: it is refused, or the fork server is not there.
        """
        await self._ask({"op": "stop", "key": self.key, "grace": self.stop_grace}, self.stop_grace + _ANSWER)
        try:
            async with async_wire.connect(self.site.start_socket, patience=self.own_timeout / 2) as connection:
                connection.send(request)
                answer = await connection.receive(_ANSWER)
                if not answer.get("ok"):
                    what, remedy = answer.get("error", "No reason was given."), answer.get("remedy", "")
                    if answer.get("full"):
                        raise NotGranted(what, remedy=remedy, status=409)
                    words = f"{what} {remedy}".strip()
                    raise SpawnException(words, reason="refused", status_code=403)
                self.process = Process(answer["pid"], answer["started"])
                self.tell(60, "Waiting for it to answer.")
                return bool((await connection.receive(self.own_timeout)).get("ready"))
        except NotRunning as error:
            words = f"The fork server {error.problem.what}. Please try again in a moment."
            raise SpawnException(words, reason="unavailable", status_code=503) from error

    async def _ended_by_itself(self) -> bool:
        """Whether no signal ended the server: nobody's settings are the reason, then."""
        answer = await self._ask({"op": "wait", "key": self.key}, _ANSWER) or {}
        return int(answer.get("code", 0)) >= 0

    async def _last_words(self) -> str:
        return str((await self._ask({"op": "log", "key": self.key}, _ANSWER) or {}).get("text", ""))

    async def stop(self, now: bool = False) -> None:
        """Stop the server and everything it started; returns when all is gone."""
        grace = 0.0 if now else self.stop_grace
        answer = await self._ask({"op": "stop", "key": self.key, "grace": grace}, grace + _ANSWER)
        while answer is None and self.process and self.process.alive():
            await asyncio.sleep(0.5)
            answer = await self._ask({"op": "stop", "key": self.key, "grace": grace}, grace + _ANSWER)
        if answer and answer["state"] == "unknown" and self.process and self.process.alive():
            raise RuntimeError(f"The fork server does not know {self._log_name}, which runs as pid {self.process.pid}.")
        self.process = None

    async def look(self) -> int | None:
        """Return None while the server runs, its exit code after; 0 where the code cannot be known.

        While nobody can say, the answer is None: a fork server that is away for a moment ends no notebook. Its
        absence does not hide an end either, since pid and start time are there for everyone to read.
        """
        if self.process is None:
            return None if self._start_pending else 0
        answer = await self._ask({"op": "poll", "key": self.key}, _ANSWER)
        if answer and answer["state"] != "unknown":
            return None if answer["state"] == "running" else int(answer["code"])
        hidden = answer is None and _hides_processes()
        return None if hidden or self.process.alive() else 0

    def start_polling(self) -> None:
        """Watch for the server's end: the fork server tells it at once; JupyterHub's own polling comes second."""
        super().start_polling()
        self._watching = asyncio.ensure_future(self._watch())

    def stop_polling(self) -> None:
        """Stop watching."""
        super().stop_polling()
        if self._watching and self._watching is not asyncio.current_task():
            self._watching.cancel()
        self._watching = None

    async def _watch(self) -> None:
        """Hear of the server's end from the fork server; one that is started again is asked again."""
        answer = await self._ask({"op": "wait", "key": self.key}, None)
        while answer is None:
            await asyncio.sleep(_AGAIN)
            answer = await self._ask({"op": "wait", "key": self.key}, None)
        if answer["state"] == "exited" or (self.process and not self.process.alive()):
            await self.poll_and_notify()

    async def _ask(self, request: dict[str, Any], timeout: float | None) -> dict[str, Any] | None:
        """Ask on the control socket; None when nobody answers, or not within `timeout` seconds."""
        try:
            answer = await async_wire.ask(self.site.fork_socket, request, timeout)
        except NotRunning:
            return None
        return answer if answer.get("ok") else None


def limits_of(grant: Grant) -> dict[str, float | None]:
    """Return what the fork server is asked to hold; it takes the smaller of this and root's policy."""
    return {
        "memory": grant.memory,
        "cpu": grant.cpu,
        "processes": grant.processes,
        "total_memory": (grant.total and grant.total.memory) or None,
        "total_cpu": (grant.total and grant.total.cpu) or None,
        "reserve_memory": grant.reserve.memory or None,
        "reserve_cpu": grant.reserve.cpu or None,
    }


def _hides_processes() -> bool:
    """Whether this machine's /proc shows nobody else's processes (hidepid, proc(5)); then it proves no end."""
    return not Path("/proc/1/stat").exists()
