"""GPUs as Docker hands them out: Nvidia's by their ids, others as nodes with the groups that may use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubwright.engines.docker import listing
from hubwright.machine.gpus import KFD, groups
from hubwright.profiles.grants import NotGranted


@dataclass(frozen=True)
class Handed:
    """What a container is given of the GPUs that its server was granted."""

    ids: tuple[str, ...]
    """Nvidia's."""
    nodes: tuple[str, ...]
    groups: tuple[int, ...]
    """Who may use the nodes, besides root."""


def handed(gpus: tuple[str, ...]) -> Handed:
    """Return how Docker is told of these GPUs.

    Raises:
        Refused: a node is not on this machine.
    """
    nodes = tuple(gpu for gpu in gpus if gpu.startswith("/"))
    if any(Path(node).parent == Path("/dev/dri") for node in nodes) and Path(KFD).exists():
        nodes = (KFD, *nodes)
    return Handed(tuple(gpu for gpu in gpus if not gpu.startswith("/")), nodes, groups(nodes))


def check_free(socket: str, instance: str, name: str, gpus: tuple[str, ...]) -> None:
    """Refuse GPUs that a container has of which the hub knows nothing: one of a database that was lost. Asks Docker.

    Args:
        name: the container that they are for.

    Raises:
        NotGranted: with status 409.
    """
    for one in listing.containers(socket, instance) if gpus else ():
        taken = [gpu for gpu in gpus if gpu in one.gpus]
        if taken and one.running and one.name != name:
            what = f"The GPU {taken[0]} is used by the container {one.name}, of which the hub knows nothing."
            remedy = 'Choose a size without a GPU; an administrator can run "hubwright containers remove --unknown".'
            raise NotGranted(what, remedy=remedy, status=409)
