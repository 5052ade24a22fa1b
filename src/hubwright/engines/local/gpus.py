"""GPUs of a forked server: those that it was granted, and no others, whatever its user's account may open.

The server gets mounts of its own, in which the nodes of all other GPUs cannot be opened. Its kernel agent, kernels and
terminals have the same.
"""

from __future__ import annotations

import grp
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import MachineError, Refused
from hubwright.machine import gpus, mounts
from hubwright.machine.policy import PRIVILEGED_GROUPS, Policy


@dataclass(frozen=True)
class Handed:
    """What a server is given of the machine's GPUs."""

    guarded: bool = False
    """Whether it sees those alone; else it sees what its account may open."""
    granted: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    """Device nodes that it cannot open."""
    groups: tuple[int, ...] = ()
    """Groups that may use the granted ones, where not everybody may."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What CUDA is told: ids, or the places among those that it can open."""
        if not self.guarded:
            return {}
        mine = [gpu for gpu in self.granted if not gpu.startswith("/")]
        known = all(gpu.startswith("GPU-") for gpu in mine)
        return {"CUDA_VISIBLE_DEVICES": ",".join(mine if known else map(str, range(len(mine))))}

    def part(self) -> int | None:
        """Hide the others from this process; return the descriptor of its mounts, None where it keeps the machine's.

        Raises:
            MachineError: that cannot be done.
        """
        if not self.guarded:
            return None
        try:
            descriptor = mounts.part()
            for node in self.hidden:
                mounts.forbid_device(Path(node))
        except OSError as error:
            what = f"GPUs cannot be kept from a server here: {error.strerror}."
            raise MachineError(what, remedy="An administrator can look at gpu and gpus in hub.yaml.") from error
        return descriptor


def handed(granted: tuple[str, ...], rule: Policy, user: str, root: Path = Path("/")) -> Handed:
    """Return what a server is given that was granted these GPUs.

    Raises:
        Refused: root's policy does not give them, or one is not on this machine.
        MachineError: the node of another is not there yet, so that it could not be hidden.
    """
    most = int(rule.limits_for(user)["gpus"] or 0)
    if granted and (not rule.hide_gpus or len(granted) > most):
        raise Refused(f"{user}'s server may have {most or 'no'} GPU{'s' * (most != 1)}.")
    if not rule.hide_gpus:
        return Handed()
    here = gpus.ids(root)
    offered = here if rule.gpus is None else rule.gpus
    shown = dict.fromkeys(node for gpu in granted for node in _nodes(gpu, offered, root))
    others = dict.fromkeys(node for gpu in (*here, *offered) for node in gpus.nodes(gpu, root))
    if not any(gpu.startswith("/dev/dri/") for gpu in granted) and (root / gpus.KFD[1:]).exists():
        others[gpus.KFD] = None
    hidden = tuple(node for node in others if node not in shown)
    for node in hidden:
        if not (root / node[1:]).exists():
            what = f"The GPU {node} is not there yet, so that it cannot be kept from anybody."
            raise MachineError(what, remedy='Have the machine run "nvidia-smi", as root, when it boots.')
    there = [root / node[1:] for node in shown if (root / node[1:]).exists()]
    closed = [str(node) for node in there if node.stat().st_mode & 0o006 != 0o006]
    return Handed(True, granted, hidden, tuple(gid for gid in gpus.groups(closed) if _harmless(gid)))


def problems(named: tuple[str, ...]) -> str:
    """Return a sentence about why servers of this machine cannot be kept from GPUs; empty when they can."""
    if part := next((gpu for gpu in named if gpu.startswith("MIG-")), ""):
        return f"{part} is a part of a GPU, which only containers can be given"
    why = mounts.may_part()
    return f"no server could be kept from the others' GPUs here: {why}" if why else ""


def same(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """Return a GPU of `one` that is also in `other`, by whatever name; empty for none."""
    taken = {*other, *(node for gpu in other for node in gpus.nodes(gpu))}
    return next((gpu for gpu in one if taken.intersection((gpu, *gpus.nodes(gpu)))), "")


def _nodes(gpu: str, offered: tuple[str, ...], root: Path) -> tuple[str, ...]:
    found = gpus.nodes(gpu, root) if gpu in offered else ()
    if not found:
        what = f"The GPU {gpu} is not on this machine, or not for servers."
        raise Refused(what, remedy="An administrator can look at engine.gpus in hub.yaml.")
    return found


def _harmless(gid: int) -> bool:
    try:
        return grp.getgrgid(gid).gr_name not in PRIVILEGED_GROUPS
    except KeyError:
        return True
