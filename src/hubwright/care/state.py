"""How a running service is: its parts, its servers, its people; a value that the command line shows."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from hubwright.care import programs
from hubwright.care.hub_api import HubApi
from hubwright.care.supervise import CADDY, FORK_SERVER, HUB, LEDGER
from hubwright.care.watch import read_ledger
from hubwright.errors import HubwrightError
from hubwright.fields import Site, server_key
from hubwright.machine import async_wire, wire
from hubwright.machine.process import Process

_ANSWER = 5.0
"""Seconds that a part has to answer."""
_LOOKS, _BETWEEN = 4, 0.2
"""How often hub and fork server are asked while they disagree, and how many seconds lie between."""

_Servers = dict[tuple[str, str], dict[str, Any]]
"""User and server name to what somebody says of that server."""


@dataclass(frozen=True)
class PartState:
    """One part of the service."""

    name: str
    health: Literal["well", "silent", "down"]
    """`silent`: it runs and does not answer."""
    pid: int | None
    age: float | None
    """Seconds since its start."""


@dataclass(frozen=True)
class ServerState:
    """One notebook server, as hub and fork server see it."""

    user: str
    server: str
    """Empty for the default server."""
    pid: int | None
    """None for a server in a container, and for one that is not there."""
    memory: int | None
    """Bytes, of all its processes; None where that is not counted."""
    cpu: float | None
    """Processors that it takes now; None where that is not counted."""
    age: float | None
    ready: bool
    """Whether the hub calls it ready."""
    pending: str | None
    """What the hub is doing with it: `spawn`, `stop` or `check`; None for nothing, and where it is not known."""
    last_activity: str | None


@dataclass(frozen=True)
class State:
    """A whole service."""

    url: str
    parts: tuple[PartState, ...]
    servers: tuple[ServerState, ...]
    users: int | None
    """How many people the hub knows; None while it does not answer."""
    certificate: str | None = None
    """The day on which the certificate in use ends; None when there is none, or none that may be read."""
    ends_soon: bool = False
    """Whether that is within a month."""

    @property
    def well(self) -> bool:
        """Whether every part does its work."""
        return all(part.health == "well" for part in self.parts)


def read(site: Site) -> State:
    """Look at the service of `site`; what does not answer is told as such, nothing is raised."""
    ledger = read_ledger(site.run / LEDGER)
    checks = programs.health(site)
    parts = []
    for name in sorted(checks, key=lambda name: (name != HUB, name != CADDY, name)):
        process = ledger[name][0] if name in ledger and ledger[name][0].alive() else None
        works = process is not None and checks[name]()
        health: Literal["well", "silent", "down"] = "well" if works else "silent" if process else "down"
        parts.append(PartState(name, health, process.pid if process else None, process.age if process else None))
    healthy = {part.name for part in parts if part.health == "well"}
    running, known, users = _look(site, healthy)
    measured = asyncio.run(_measured(site))
    return State(site.public_url, tuple(parts), _servers(running, known, measured), users, *_certificate(site))


def _certificate(site: Site) -> tuple[str | None, bool]:
    """Return the day on which the certificate in use ends, and whether that is near."""
    if not (os.access(site.certificate, os.R_OK) or os.access(site.acme, os.R_OK | os.X_OK)):
        return None, False
    from hubwright.proxy.https.certificate import AHEAD, deployed, fetched

    if found := deployed(site):
        return f"{found.until:%Y-%m-%d}", found.until - datetime.now(UTC) <= AHEAD
    if found := fetched(site):  # Caddy renews it when a third of its time is left
        left = found.until - datetime.now(UTC)
        return f"{found.until:%Y-%m-%d}", left <= min(AHEAD / 2, (found.until - found.since) / 4)
    return None, False


def _look(site: Site, healthy: set[str]) -> tuple[_Servers, _Servers, int | None]:
    """Return what the fork server says, what the hub says, and how many people that knows.

    A server may start or end between the two answers: while they disagree both are asked again.
    """
    for look in range(_LOOKS):
        time.sleep(_BETWEEN if look else 0)
        running = _running(site) if FORK_SERVER in healthy else {}
        known, users = _known(site) if HUB in healthy else ({}, None)
        settled = {key for key, model in known.items() if not model.get("pending")}
        if users is None or FORK_SERVER not in healthy or settled <= running.keys() <= known.keys():
            break
    return running, known, users


def _running(site: Site) -> _Servers:
    try:
        found = wire.call(site.fork_socket, {"op": "list"}, timeout=5).get("servers", ())
    except HubwrightError:
        return {}
    return {(str(one["user"]), str(one["server"])): one for one in found}


async def _measured(site: Site) -> _Servers:
    """Return what the metrics tell of every server; nothing while they do not answer, or where they are off.

    What they saw is some seconds old: a server that has left nothing in `site.servers` has ended since.
    """
    try:
        async with async_wire.connect(site.metrics_socket) as connection:
            connection.send({"op": "usage", "users": None})
            head = await connection.receive(_ANSWER)
            body = await connection.receive_bytes(int(head.get("bytes", 0)), _ANSWER)
    except HubwrightError:
        return {}
    servers = json.loads(body)["servers"] if body else []
    seen = {(str(one["user"]), str(one["server"])): one for one in servers}
    return {key: one for key, one in seen.items() if (site.servers / server_key(*key)).exists()}


def _known(site: Site) -> tuple[_Servers, int | None]:
    api = HubApi(site, timeout=5)
    try:
        active = api.users(active=True)
        servers = {(user["name"], name): model for user in active for name, model in user.get("servers", {}).items()}
        return servers, api.count_users()
    except HubwrightError:
        return {}, None


def _servers(running: _Servers, known: _Servers, measured: _Servers) -> tuple[ServerState, ...]:
    """Everything that runs or that the hub takes for running; what the fork server counts is of this moment."""
    now = time.time()
    states = []
    for user, name in sorted({*running, *known, *measured}):
        one, model, seen = running.get((user, name), {}), known.get((user, name), {}), measured.get((user, name), {})
        process = Process(one["pid"], one["started"]) if one else None
        since = seen.get("since")
        states.append(
            ServerState(
                user=user,
                server=name,
                pid=process.pid if process else None,
                memory=one.get("memory", seen.get("memory")),
                cpu=seen.get("cpu"),
                age=process.age if process else now - since if since else None,
                ready=bool(model.get("ready")),
                pending=model.get("pending"),
                last_activity=model.get("last_activity"),
            )
        )
    return tuple(states)
