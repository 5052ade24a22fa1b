"""GPUs as Docker hands them out: Nvidia's by their ids, others as nodes with the groups that may use them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import Refused

_KFD = Path("/dev/kfd")
"""What programs of AMD's ROCm use beside the node of each GPU."""


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
    if any(Path(node).parent == Path("/dev/dri") for node in nodes) and _KFD.exists():
        nodes = (str(_KFD), *nodes)
    groups = {_group(node) for node in nodes} - {0}
    return Handed(tuple(gpu for gpu in gpus if not gpu.startswith("/")), nodes, tuple(sorted(groups)))


def _group(node: str) -> int:
    try:
        return os.stat(node).st_gid  # noqa: PTH116
    except OSError as error:
        what = f"The GPU {node} is not on this machine."
        raise Refused(what, remedy="An administrator can look at engine.gpus in hub.yaml.") from error
