"""A container as a value: what Docker's API is told to make it. Pure.

Source: the Engine API's ContainerCreate (https://docs.docker.com/reference/api/engine/).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from hubwright.profiles.config import USERNAME

INSTANCE, USER, SERVER, SETTINGS, GPUS = (
    f"hubwright.{name}" for name in ("instance", "user", "server", "settings", "gpus")
)
"""Labels; the first three are read by whoever counts what servers take."""
PLACE = "/run/hubwright-server"
"""Where a container sees the folder in which its server listens."""
SOCKET = f"{PLACE}/http.sock"
_PERIOD = 100_000
"""Microseconds over which a processor limit is counted (the kernel's default)."""
_SHARES = 1024
"""cpu_shares that stand for one reserved processor."""
_MOST_EXPOSED = 1000
"""oom_score_adj without a reserve; in thousandths of what all may take, so that a reserve outweighs as much memory."""
_LEAST_SHARES = 128
"""What a server without a reserve weighs: an eighth of a processor, so that reserves count."""


class Shared(Protocol):
    """A volume of hub.yaml, of the engine or of a profile."""

    @property
    def source(self) -> str:
        """The folder on the machine."""

    @property
    def target(self) -> str:
        """Where containers see it."""

    @property
    def writable(self) -> bool:
        """Whether users may write into it."""


@dataclass(frozen=True)
class Mount:
    """A folder or file of the machine, and where a container sees it."""

    source: str
    target: str
    write: bool = False

    def as_api(self) -> dict[str, Any]:
        """Return it as Docker's API has it; unlike a `Bind`, a missing source is an error and is not made."""
        return {"Type": "bind", "Source": self.source, "Target": self.target, "ReadOnly": not self.write}


def mounts_of(volumes: Iterable[Shared], user: str) -> tuple[Mount, ...]:
    """Return volumes of hub.yaml as mounts for `user`; of two for one place the later one counts."""
    last = {one.target: one for one in volumes}
    return tuple(
        Mount(one.source.replace(USERNAME, user), place.replace(USERNAME, user), one.writable)
        for place, one in last.items()
    )


def mounts_of_all(volumes: Iterable[Shared]) -> tuple[Mount, ...]:
    """Return those volumes that are the same for everybody, as mounts."""
    return mounts_of((one for one in volumes if USERNAME not in one.source + one.target), "")


@dataclass(frozen=True)
class Container:
    """Everything a server's container is made with."""

    instance: str
    key: str
    user: str
    server: str
    image: str
    command: tuple[str, ...]
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...] = ()
    env: dict[str, str] = field(default_factory=dict, hash=False)
    mounts: tuple[Mount, ...] = ()
    network: str = "none"
    memory: int | None = None
    cpu: float | None = None
    processes: int | None = None
    disk: int | None = None
    """Bytes that it may write outside of what is mounted."""
    reserved_memory: int | None = None
    reserved_cpu: float | None = None
    gpus: tuple[str, ...] = ()
    """Nvidia's ids or numbers; a GPU of another maker is among `devices`."""
    devices: tuple[str, ...] = ()
    """Nodes of the machine that the container may use."""
    oom_score: int = 0
    """The one whose processes have more of it, and more memory, ends first when all together take too much."""
    capabilities: tuple[str, ...] = ()
    parent: str = ""
    """The control group that all containers of this service are in."""

    @property
    def name(self) -> str:
        """Its name; no two servers, nor two services on one machine, have the same."""
        return name_of(self.instance, self.key)

    @property
    def settings(self) -> str:
        """The same for two containers exactly when they differ in their secrets only."""
        config = {name: value for name, value in self._config().items() if name != "Env"}
        plain = sorted(name for name in self.env if not name.startswith(("JUPYTERHUB_", "JPY_")))
        told = [config, [(name, self.env[name]) for name in plain]]
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def as_api(self) -> dict[str, Any]:
        """Return the body of Docker's ContainerCreate."""
        config = self._config()
        return {**config, "Labels": {**config["Labels"], SETTINGS: self.settings}}

    def _config(self) -> dict[str, Any]:
        return {
            "Image": self.image,
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in sorted(self.env.items())],
            "User": f"{self.uid}:{self.gid}",
            "WorkingDir": self.home,
            "Labels": {INSTANCE: self.instance, USER: self.user, SERVER: self.server, **self._gpu_label()},
            # an image's own check would run a process every few seconds in every container; the hub looks itself
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": self._host(),
        }

    def _gpu_label(self) -> dict[str, str]:
        held = (*self.gpus, *self.devices)
        return {GPUS: ",".join(held)} if held else {}

    def _host(self) -> dict[str, Any]:
        host: dict[str, Any] = {
            "Init": True,
            "GroupAdd": [str(gid) for gid in self.groups],
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": ["ALL"],
            "CapAdd": list(self.capabilities),
            "Mounts": [mount.as_api() for mount in self.mounts],
            "NetworkMode": self.network,
            "CgroupParent": self.parent,
            "OomScoreAdj": self.oom_score,
            "CpuShares": max(_LEAST_SHARES, round((self.reserved_cpu or 0) * _SHARES)),
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}},
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": -1}],
        }
        if self.memory:
            # shared memory counts as memory, so /dev/shm needs no smaller limit of its own (the default is 64 MB)
            host |= {"Memory": self.memory, "MemorySwap": self.memory, "ShmSize": self.memory}
        if self.reserved_memory:
            host["MemoryReservation"] = self.reserved_memory
        if self.cpu:
            host |= {"CpuPeriod": _PERIOD, "CpuQuota": max(1000, round(self.cpu * _PERIOD))}
        if self.processes:
            host["PidsLimit"] = self.processes
        if self.disk:
            host["StorageOpt"] = {"size": str(self.disk)}
        if self.gpus:
            wanted = {"Driver": "nvidia", "DeviceIDs": list(self.gpus), "Capabilities": [["gpu"]]}
            host["DeviceRequests"] = [wanted]
        if self.devices:
            host["Devices"] = [
                {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rw"} for path in self.devices
            ]
        return host


def oom_score(reserved: int, whole: int) -> int:
    """Return what containers are compared by, besides what they take: who goes furthest beyond his reserve ends first.

    The kernel adds so many thousandths of `whole` to what a process takes (proc(5)). So one process of a server within
    its reserve counts no more than `whole`, and every process of a server without a reserve counts more, be it small.

    Args:
        reserved: bytes that the server keeps for itself.
        whole: bytes that all containers may take together.
    """
    return _MOST_EXPOSED - min(_MOST_EXPOSED, math.ceil(1000 * reserved / whole))


def name_of(instance: str, key: str) -> str:
    """Return the name of the container of the server with this key (`fields.server_key`)."""
    return f"hubwright-{instance}-{key}"


def network_of(instance: str) -> str:
    """Return the name of the network that a service makes for its containers."""
    return f"hubwright-{instance}"


def network_config(instance: str) -> dict[str, Any]:
    """Return the arguments of docker-py's create_network: containers in it do not reach each other."""
    options = {"com.docker.network.bridge.enable_icc": "false"}
    return {
        "name": network_of(instance),
        "driver": "bridge",
        "options": options,
        "labels": {INSTANCE: instance},
        "check_duplicate": True,
    }
