"""Which GPUs this machine has, and by which device nodes each is used. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hubwright.errors import Refused

KFD = "/dev/kfd"
"""What programs of AMD's ROCm use beside the node of each GPU."""
_TOLD = "proc/driver/nvidia/gpus"


class _Nvidia(NamedTuple):
    """One of Nvidia's, by what its driver says."""

    name: str
    """The id `GPU-...`; its place among all while the driver does not know it; "" when it is left out."""
    address: str
    minor: str


def ids(root: Path = Path("/")) -> tuple[str, ...]:
    """Return the GPUs, as container engines name them: Nvidia's ids `GPU-...`, else AMD's nodes `/dev/dri/renderD128`.

    An id that Nvidia's driver does not tell is a number: the place among all, by PCI address.
    """
    if found := _nvidias(root):
        return tuple(one.name for one in found if one.name)
    if many := sum(1 for _ in (root / "dev").glob("nvidia[0-9]*")):
        return tuple(map(str, range(many)))
    if not (root / KFD[1:]).exists():
        return ()
    return tuple(f"/dev/dri/{path.name}" for path in sorted((root / "dev/dri").glob("renderD*")))


def nodes(gpu: str, root: Path = Path("/")) -> tuple[str, ...]:
    """Return the device nodes by which a GPU can be used, without links, its own first; none when it is not here.

    Nvidia's own may be missing still: the driver makes it when the GPU is first used.
    """
    if gpu.startswith("/"):
        path = (root / gpu[1:]).resolve()
        beside = _named(root / "sys/class/drm" / path.name / "device/drm")
        return tuple(dict.fromkeys((f"/{path.relative_to(root.resolve())}", *beside))) if path.exists() else ()
    found = _nvidias(root)
    if not found:
        return (f"/dev/nvidia{gpu}",) if (root / f"dev/nvidia{gpu}").exists() else ()
    for number, one in enumerate(found):
        if gpu in (one.name, str(number)):
            return (f"/dev/nvidia{one.minor}", *_named(root / "sys/bus/pci/devices" / one.address / "drm"))
    return ()


def groups(nodes: Iterable[str]) -> tuple[int, ...]:
    """Return the groups that may use these nodes, besides root's.

    Raises:
        Refused: a node is not on this machine.
    """
    found = set()
    for node in nodes:
        try:
            found.add(os.stat(node).st_gid)  # noqa: PTH116
        except OSError as error:
            what = f"The GPU {node} is not on this machine."
            raise Refused(what, remedy="An administrator can look at engine.gpus in hub.yaml.") from error
    return tuple(sorted(found - {0}))


def _nvidias(root: Path) -> list[_Nvidia]:
    found = []
    for number, path in enumerate(sorted((root / _TOLD).glob("*/information"))):
        told = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        known = told.get("GPU UUID", "?").strip()
        name = "" if told.get("GPU Excluded", "").strip() == "Yes" else str(number) if "?" in known else known
        found.append(_Nvidia(name, path.parent.name, told.get("Device Minor", str(number)).strip()))
    return found


def _named(folder: Path) -> list[str]:
    """Return the nodes of the display that is the same device: `card0`, `renderD128`."""
    names = sorted(path.name for path in folder.glob("*"))
    return [f"/dev/dri/{name}" for name in names if name.startswith(("card", "renderD"))]
