"""A control group that is this service's to divide: asked of systemd where that runs, made at the root elsewhere."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine import cgroups


def ensure(name: str) -> cgroups.Hierarchy:
    """Return the hierarchy below which `name` may make groups; they outlive whoever asks.

    With systemd and cgroup version 2 it is the folder of a delegated unit of its own, `NAME.service`, held by a
    sleeping process in a leaf (systemd.resource-control(5), Delegate=): notebooks are not in the unit of the
    program that starts them, so that restarting the one does not end the others.
    """
    hierarchy = cgroups.find(name)
    if hierarchy.version == 1 or not Path("/run/systemd/system").is_dir() or not hierarchy.mounts:
        return hierarchy
    mount = next(iter(hierarchy.mounts.values()))
    unit = f"{name}.service"
    group = _unit_group(unit)
    if not group:
        command = ["systemd-run", "--quiet", f"--unit={unit}", "--property=Delegate=yes", "--property=KillMode=none"]
        command += ["--description=Hubwright's notebook servers", "/bin/sleep", "infinity"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError) as error:
            why = getattr(error, "stderr", "") or str(error)
            raise MachineError(f"systemd gives no control group of our own: {why.strip()}.", where=unit) from error
        deadline = time.monotonic() + 10
        while not (group := _unit_group(unit)) and time.monotonic() < deadline:
            time.sleep(0.05)
    if not group:
        raise MachineError("systemd did not start the unit that holds the notebooks' control groups.", where=unit)
    base = group.strip("/")
    holder = cgroups.Group(hierarchy, f"{base}/holder")
    for pid in cgroups.Group(hierarchy, base).pids():
        (mount / holder.path).mkdir(exist_ok=True)
        (mount / holder.path / "cgroup.procs").write_text(str(pid))
    return cgroups.Hierarchy(2, hierarchy.mounts, base)


def _unit_group(unit: str) -> str:
    show = ["systemctl", "show", "--property=ActiveState,ControlGroup", unit]
    found = subprocess.run(
        show, check=False, capture_output=True, text=True, timeout=20, env={**os.environ, "LANG": "C"}
    )
    words = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    return words.get("ControlGroup", "") if words.get("ActiveState") == "active" else ""
