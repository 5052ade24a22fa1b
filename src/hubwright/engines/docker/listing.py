"""The containers of one service, whoever started them: for the command line, and for the end of the service. Blocks."""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass

from hubwright.engines.docker import container, daemon
from hubwright.errors import HubwrightError


@dataclass(frozen=True)
class Found:
    """A container with this service's label."""

    id: str
    name: str
    user: str
    server: str
    image: str
    running: bool
    status: str
    """In Docker's words: `Up 3 hours`."""
    settings: str
    gpus: tuple[str, ...]
    """What it was given of the machine's, AMD's shared node included."""
    created: float
    """Unix time."""


def containers(socket: str, instance: str) -> list[Found]:
    """Return every container of a service, running or not, by user and server."""
    told = daemon.ask(socket, "containers", all=True, filters={"label": f"{container.INSTANCE}={instance}"})
    found = []
    for one in told:
        labels = one.get("Labels") or {}
        found.append(
            Found(
                id=one["Id"],
                name=one["Names"][0].removeprefix("/"),
                user=labels.get(container.USER, ""),
                server=labels.get(container.SERVER, ""),
                image=one["Image"],
                running=one["State"] == "running",
                status=one["Status"],
                settings=labels.get(container.SETTINGS, ""),
                gpus=tuple(filter(None, labels.get(container.GPUS, "").split(","))),
                created=float(one["Created"]),
            )
        )
    return sorted(found, key=lambda one: (one.user, one.server))


def remove(socket: str, found: list[Found], grace: float) -> list[Found]:
    """Stop and remove containers, all at once; return those that could not be."""

    def end(one: Found) -> None:
        try:
            daemon.ask(socket, "stop", one.id, timeout=round(grace), patience=daemon.PATIENT)
            daemon.ask(socket, "remove_container", one.id, force=True, v=True, patience=daemon.PATIENT)
        except daemon.Missing:
            pass

    asked = {daemon.pool().submit(end, one): one for one in found}
    wait(asked)
    return [one for future, one in asked.items() if isinstance(future.exception(), HubwrightError)]


def remove_network(socket: str, instance: str) -> None:
    """Remove the service's own network; the next start makes it again."""
    with suppress(daemon.Missing):
        daemon.ask(socket, "remove_network", container.network_of(instance), patience=daemon.PATIENT)
