"""One control group above all containers of a service, with a limit for them together."""

from __future__ import annotations

import subprocess
from functools import cache

from hubwright.engines.docker import daemon
from hubwright.errors import MachineError
from hubwright.machine import capacity, cgroups
from hubwright.profiles import resolve
from hubwright.profiles.config import Amount, Profiles


@cache
def driver(socket: str) -> str:
    """Return how the daemon makes control groups, `cgroupfs` or `systemd`; asked once."""
    return str(daemon.ask(socket, "info").get("CgroupDriver", "cgroupfs"))


def parent(instance: str, driver: str) -> str:
    """Return the group that containers are made in, as Docker wants it (`docker run --cgroup-parent`)."""
    return f"hubwright-{instance}.slice" if driver == "systemd" else f"/hubwright-{instance}"


def folder(instance: str, driver: str, container: str) -> str:
    """Return the group of one container, as a path below the mount of its controllers."""
    if driver == "systemd":
        return f"hubwright.slice/hubwright-{instance}.slice/docker-{container}.scope"
    return f"hubwright-{instance}/{container}"


def smaller(one: Amount, other: Amount) -> Amount:
    """Return the smaller of each; what one of them does not speak of is the other's."""
    cpus = [value for value in (one.cpu, other.cpu) if value]
    sizes = [value for value in (one.memory, other.memory) if value]
    return Amount(cpu=min(cpus, default=None), memory=min(sizes, default=None))


def most(cap: Amount, profiles: Profiles | None) -> Amount:
    """Return what all containers together may take: `engine.cap`, and what `profiles` leaves to all servers.

    That is the machine, or the section's own cap, without the margin.
    """
    if profiles is None:
        return cap
    room = resolve.machine(profiles, capacity.processors(), capacity.memory()).room
    return smaller(cap, Amount(cpu=max(0.01, room.cpu), memory=max(1, room.memory)))


def hold(instance: str, driver: str, most: Amount) -> None:
    """Make the group and set its limits; for root, as often as one likes. Without limits nothing is done.

    Raises:
        MachineError: this machine cannot enforce it.
    """
    if most.cpu is None and most.memory is None:
        return
    if driver == "systemd":
        _slice(f"hubwright-{instance}.slice", most)
        return
    group = cgroups.find(f"hubwright-{instance}").group()
    group.make()
    group.limit(cgroups.Limits(most.memory, most.cpu))


def _slice(name: str, most: Amount) -> None:
    """Set the limits of a slice (systemd.resource-control(5)), until the machine restarts."""
    settings = [f"MemoryMax={most.memory}"] if most.memory else []
    settings += [f"CPUQuota={max(1, round(most.cpu * 100))}%"] if most.cpu else []
    for command in (["start", name], ["set-property", "--runtime", name, *settings]):
        done = subprocess.run(["systemctl", *command], check=False, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise MachineError(
                f"systemd does not limit all containers together: {done.stderr.strip()}.",
                where="hub.yaml engine.cap",
                remedy="Leave engine.cap out, or mend systemd.",
            )
