"""What the hub is told: requests as JSON lines on a Unix socket, one after the other, in a thread of its own.

    {"op": "health"}                                        -> {"ok": true}
    {"op": "usage", "users": [name] or null, ...}           -> {"ok": true, "bytes": N}, then N bytes of JSON
    {"op": "prometheus", "reserves": {...}}                 -> {"ok": true, "bytes": N}, then N bytes of text

`usage` takes `server` (a name or null), `hours`, `points`, `top`, `all`, `reserves`
(`{user: {server: [processors, bytes]}}`) and `since` (`{user: Unix time}`: what the name did before was somebody
else's), which only the hub knows; what comes back stands in `hubwright.metrics`.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hubwright.errors import HubwrightError, Refused
from hubwright.machine import wire
from hubwright.metrics.history import History, Means
from hubwright.metrics.homes import Homes
from hubwright.metrics.sampler import Live, Sampler
from hubwright.metrics.store import Keep, Store

_ARRIVAL = 2.0
_LEAVING = 5.0
_LONGEST = 366 * 24.0
"""Hours."""

Reserves = Mapping[str, Mapping[str, tuple[float, int]]]


@dataclass
class Answers:
    """Answers from what sampler and homes know now, and from the history."""

    sampler: Sampler
    homes: Homes
    keep: Keep
    open_store: Callable[[], Store]
    _history: History | None = None

    def serve(self, listener: socket.socket) -> None:
        """Answer whoever this account or root is, until the listener is closed."""
        allowed = {0, os.geteuid()}
        for connection in wire.accepted(listener):
            try:
                if wire.peer(connection) in allowed:
                    self._answer(connection)
            except OSError:
                continue  # the caller has left

    def _answer(self, connection: socket.socket) -> None:
        body = b""
        try:
            body = self.body(wire.receive(connection, _ARRIVAL))
            head: dict[str, Any] = {"ok": True, "bytes": len(body)}
        except HubwrightError as error:
            head = {"ok": False, "error": error.problem.what}
        except (ValueError, TypeError) as error:
            head = {"ok": False, "error": f"The request cannot be understood: {error}."}
        connection.settimeout(_LEAVING)
        connection.sendall(wire.encode(head) + body)

    def body(self, request: dict[str, Any]) -> bytes:
        """Return the body of an answer; `Refused` for a request that is none."""
        operation = request.get("op")
        if operation == "health":
            return b""
        reserves: Reserves = request.get("reserves") or {}
        if operation == "prometheus":
            from hubwright.metrics.exposition import text  # its library is imported only where it is asked for

            return text(self.sampler, self.homes.found, self.homes.disk, reserves)
        if operation == "usage":
            return json.dumps(self.usage(request, reserves), separators=(",", ":")).encode()
        raise Refused("The metrics know health, usage and prometheus.")

    def usage(self, request: Mapping[str, Any], reserves: Reserves) -> dict[str, Any]:
        """Return what `hubwright.metrics` describes."""
        users = None if request.get("users") is None else frozenset(request["users"])
        server, everybody = request.get("server"), bool(request.get("all"))
        shown = [
            live
            for live in self._live()
            if (users is None or live.running.user in users) and server in (None, live.running.server)
        ]
        shown.sort(key=lambda live: (live.running.user, live.running.server))
        homes = {user: home for user, home in list(self.homes.found.items()) if users is None or user in users}
        answer: dict[str, Any] = {
            "at": self.sampler.at,
            "every": self.sampler.every,
            "warning": self.sampler.trouble,
            "machine": self._machine(),
            "servers": [self._server(live, reserves) for live in shown],
            "homes": [
                {"user": user, "bytes": home.bytes, "limit": home.limit, "at": home.at, "whole": home.whole}
                for user, home in sorted(homes.items())
            ],
        }
        try:
            if everybody:
                answer["users"] = self._users(shown, users, reserves)
            if request.get("hours"):
                answer["history"] = self._lines(request, users, server, everybody)
        except (sqlite3.Error, OSError) as error:
            self._history = None
            answer["warning"] = answer["warning"] or f"The history cannot be read ({error})."
            if everybody:
                answer["users"] = self._users(shown, users, reserves, remembered={})
        return answer

    def _live(self) -> list[Live]:
        return [live for live in list(self.sampler.servers.values()) if live.looks or live.turns]

    def _opened(self) -> History:
        if self._history is None:
            self._history = History(self.open_store(), self.keep)
        return self._history

    def _lines(
        self, request: Mapping[str, Any], users: frozenset[str] | None, server: str | None, everybody: bool
    ) -> dict[str, Any]:
        hours = min(max(0.1, float(request["hours"])), _LONGEST)
        points = min(max(10, int(request.get("points") or 120)), 500)
        top = min(max(1, int(request.get("top") or 20)), 500) if everybody else None
        since = {str(user): float(begun) for user, begun in (request.get("since") or {}).items()}
        return self._opened().lines(self.sampler.at, hours, points, users, server, top, since)

    def _machine(self) -> dict[str, Any]:
        totals, live = self.sampler.totals, self._live()
        used, there = self.homes.disk
        return {
            "cpus": totals.cpus if totals else os.cpu_count(),
            "cpu": _round(self.sampler.busy),
            "memory": totals.memory if totals else None,
            "memory_total": totals.memory_total if totals else None,
            "load": list(totals.load) if totals else None,
            "disk": used or None,
            "disk_total": there or None,
            "servers": len(live),
            "servers_cpu": _round(sum(one.cpu or 0.0 for one in live)),
            "servers_memory": sum(one.memory for one in live),
            "gpus": [
                {"name": gpu.name, "busy": gpu.busy, "memory": gpu.memory, "memory_total": gpu.memory_total}
                for gpu in self.sampler.gpus
            ],
        }

    def _server(self, live: Live, reserves: Reserves) -> dict[str, Any]:
        cpu, memory = reserved(reserves, live)
        return {
            "user": live.running.user,
            "server": live.running.server,
            "cpu": _round(live.cpu),
            "memory": live.memory,
            "processes": live.processes,
            "cpu_limit": live.limits.cpu,
            "memory_limit": live.limits.memory,
            "processes_limit": live.limits.processes,
            "cpu_reserve": cpu or None,
            "memory_reserve": memory or None,
            "gpu_memory": gpu_memory(self.sampler, live),
            "since": live.since,
        }

    def _users(
        self,
        shown: Iterable[Live],
        users: frozenset[str] | None,
        reserves: Reserves,
        remembered: Mapping[str, tuple[Means, Means]] | None = None,
    ) -> list[dict[str, Any]]:
        means = self._opened().means(self.sampler.at) if remembered is None else remembered
        now: dict[str, list[Live]] = {user: [] for user in means if users is None or user in users}
        for live in shown:
            now.setdefault(live.running.user, []).append(live)
        found = []
        for user, servers in sorted(now.items()):
            day, week = means.get(user, (Means(), Means()))
            held = [reserved(reserves, live) for live in servers]
            home = self.homes.found.get(user)
            found.append(
                {
                    "user": user,
                    "servers": len(servers),
                    "cpu": _round(sum(live.cpu or 0.0 for live in servers)),
                    "memory": sum(live.memory for live in servers),
                    "processes": sum(live.processes or 0 for live in servers),
                    "cpu_reserve": sum(cpu for cpu, _ in held) or None,
                    "memory_reserve": sum(memory for _, memory in held) or None,
                    "cpu_day": _round(day.cpu),
                    "memory_day": day.memory,
                    "cpu_week": _round(week.cpu),
                    "memory_week": week.memory,
                    "memory_peak_week": week.peak,
                    "home": home.bytes if home else None,
                    "home_limit": home.limit if home else None,
                }
            )
        return found


def reserved(reserves: Reserves, live: Live) -> tuple[float, int]:
    """Return processors and bytes that are kept for a server."""
    cpu, memory = reserves.get(live.running.user, {}).get(live.running.server, (0.0, 0))
    return cpu, memory


def gpu_memory(sampler: Sampler, live: Live) -> int | None:
    """Return the GPU memory that a server holds, by the names of its control groups; None without a GPU."""
    if not sampler.gpus:
        return None
    return next((sampler.gpu_memory[f.name] for f in live.running.folders.values() if f.name in sampler.gpu_memory), 0)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
