"""A control group that is this service's to divide: asked of systemd where that runs, made at the root elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine import cgroups, systemd

_HOLDER = "holder"
_PROPERTIES = (
    "Delegate=yes",
    "TasksMax=infinity",  # the default is a share of what a single service may have; this one is all users together
    "OOMPolicy=continue",
    "KillMode=none",  # notebooks outlive the process that holds the unit
    "CollectMode=inactive-or-failed",
)
"""systemd.resource-control(5), systemd.service(5), systemd.unit(5)."""


def ensure(name: str) -> cgroups.Hierarchy:
    """Return the hierarchy below which `name` may make groups; they outlive whoever asks. Without mounts: nowhere.

    With systemd and cgroup version 2 it is the folder of a delegated unit of its own, `NAME.service`, held by a
    sleeping process in a leaf (systemd.resource-control(5), Delegate=): notebooks are not in the unit of the
    program that starts them, so that restarting the one does not end the others. A unit of that name that
    somebody has installed is started instead, and stays.
    """
    hierarchy = cgroups.find(name)
    if not hierarchy.mounts:
        return hierarchy
    if not _is_systemds(hierarchy):
        try:
            hierarchy.group("user.0").make()
        except (MachineError, OSError):  # a container, whose own processes fill the group that it may divide
            return cgroups.Hierarchy(hierarchy.version, {}, name)
        hierarchy.group("user.0").remove()
        return hierarchy
    mount = next(iter(hierarchy.mounts.values()))
    unit = f"{name}.service"
    base = _unit_group(unit)
    if not base:
        base = f"system.slice/{unit}"
        left = cgroups.Hierarchy(2, hierarchy.mounts, base)
        if not left.group().sweep():  # the holder was killed, notebooks live on: systemd has forgotten their group
            return left
        base = _start(unit)
    for pid in cgroups.Group(hierarchy, base).pids():
        (mount / base / _HOLDER).mkdir(exist_ok=True)
        with suppress(ProcessLookupError):
            (mount / base / _HOLDER / "cgroup.procs").write_text(str(pid))
    return cgroups.Hierarchy(2, hierarchy.mounts, base)


def release(hierarchy: cgroups.Hierarchy, timeout: float = 2.0) -> bool:
    """Give back what `ensure` returned, once no server is left in it; whether it is gone within `timeout` seconds.

    An installed unit is not ours to end.
    """
    if _is_installed(Path(hierarchy.base).name):
        return True
    deadline = time.monotonic() + timeout
    whole, holder = hierarchy.group(), hierarchy.group(_HOLDER)
    while not whole.sweep():
        # with the holder systemd's unit ends; not before the last notebook's process has
        if not any(any(folder.glob("**/user.*")) for folder in whole.folders):
            for pid in holder.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def find(name: str) -> cgroups.Hierarchy:
    """Return the hierarchy that `ensure` has returned for `name`; nothing is made when it has not."""
    hierarchy = cgroups.find(name)
    if not hierarchy.mounts or not _is_systemds(hierarchy):
        return hierarchy
    unit = f"{name}.service"
    return cgroups.Hierarchy(2, hierarchy.mounts, _unit_group(unit) or f"system.slice/{unit}")


def clear(name: str, timeout: float = 2.0) -> bool:
    """End what still runs in servers' groups of `name`, and give back what is there; whether all of it is gone.

    For when a whole service has been stopped. Besides what `ensure` returns these are the empty groups that Docker
    leaves in every hierarchy. What others run in groups of that name is left alone.
    """
    hierarchy = find(name)
    if not hierarchy.mounts:
        return True
    deadline = time.monotonic() + timeout
    while left := [group for group in servers(hierarchy) if group.pids()]:
        for group in left:
            group.kill()
        if time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    gone = release(hierarchy, timeout)
    for tree in cgroups.trees():
        gone = cgroups.Group(cgroups.Hierarchy(1, {"": tree}, ""), name).sweep() and gone
    return gone


def servers(hierarchy: cgroups.Hierarchy) -> list[cgroups.Group]:
    """Return every group that was made for a server and is there, whether something runs in it or not."""
    return [*hierarchy.group().below("user.*/*"), *hierarchy.group().below("open/user.*/*")]


def _is_systemds(hierarchy: cgroups.Hierarchy) -> bool:
    return hierarchy.version == 2 and Path("/run/systemd/system").is_dir()


def _start(unit: str) -> str:
    """Start the unit; return its group."""
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True, timeout=20)
    command = ["systemd-run", "--quiet", f"--unit={unit}", *(f"--property={one}" for one in _PROPERTIES)]
    command += ["--description=Hubwright's notebook servers", "/bin/sleep", "infinity"]
    if _is_installed(unit):
        command = ["systemctl", "start", unit]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise MachineError(f"systemd gives no control group of our own: {why.strip()}.", where=unit) from error
    deadline = time.monotonic() + 10
    while not (group := _unit_group(unit)):
        if time.monotonic() >= deadline:
            what = "systemd did not start the unit that holds the notebooks' control groups."
            raise MachineError(what, where=unit, remedy=f"Look at: systemctl status {unit}")
        time.sleep(0.05)
    return group


def _is_installed(unit: str) -> bool:
    return unit.endswith(".service") and (systemd.UNITS / unit).exists()


def _unit_group(unit: str) -> str:
    """Return the group of an active unit, as a path below the mount; else an empty string."""
    show = ["systemctl", "show", "--property=ActiveState,ControlGroup", unit]
    found = subprocess.run(
        show, check=False, capture_output=True, text=True, timeout=20, env={**os.environ, "LANG": "C"}
    )
    words = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    return words.get("ControlGroup", "").strip("/") if words.get("ActiveState") == "active" else ""
