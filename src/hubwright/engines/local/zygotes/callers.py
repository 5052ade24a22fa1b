"""Who asks the keeper for a kernel: told by Linux and by what the fork server has written down, not by the caller."""

from __future__ import annotations

import json
import os
import pwd
import re
import resource
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.engines.local import launch
from hubwright.fields import Site
from hubwright.machine import cgroups, namespaces
from hubwright.machine.process import Process

_LIMITS = {
    "cpu time": resource.RLIMIT_CPU,
    "file size": resource.RLIMIT_FSIZE,
    "data size": resource.RLIMIT_DATA,
    "stack size": resource.RLIMIT_STACK,
    "core file size": resource.RLIMIT_CORE,
    "resident set": resource.RLIMIT_RSS,
    "processes": resource.RLIMIT_NPROC,
    "open files": resource.RLIMIT_NOFILE,
    "locked memory": resource.RLIMIT_MEMLOCK,
    "address space": resource.RLIMIT_AS,
    "pending signals": resource.RLIMIT_SIGPENDING,
    "msgqueue size": resource.RLIMIT_MSGQUEUE,
    "nice priority": resource.RLIMIT_NICE,
    "realtime priority": resource.RLIMIT_RTPRIO,
    "realtime timeout": resource.RLIMIT_RTTIME,
}
"""As /proc/<pid>/limits calls them, after `Max` (proc(5)); prlimit(2) would take a capability that root may lack."""
_LIMIT = re.compile(r"Max ([a-z ]+?) +(\d+|unlimited) +(\d+|unlimited) ")


@dataclass(frozen=True)
class Caller:
    """A user's notebook server."""

    process: Process
    account: pwd.struct_passwd
    group: cgroups.Group

    def namespaces(self) -> list[int]:
        """Open its network and mounts, as `terms` has them; `OSError` when it has ended, or has made them itself.

        A kernel belongs to the machine's user namespace: there su(1) runs with root's rights, whoever mounted /etc.
        """
        opened: list[int] = []
        try:
            for name in ("net", "mnt"):
                opened.append(os.open(f"/proc/{self.process.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
            if not self.process.alive():
                raise ProcessLookupError
            if not all(map(namespaces.is_ours, opened)):
                raise PermissionError
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        return opened

    def take_in(self, pid: int) -> dict[str, Any]:
        """Put a child into the server's group; return what it is to become.

        `OSError` and `MachineError` when the server, or the child, has ended.
        """
        self.group.enter(pid)
        server = Path(f"/proc/{self.process.pid}")
        score = int((server / "oom_score_adj").read_text()) + launch.KERNEL_OOM
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(min(1000, score)))
        return {
            "uid": self.account.pw_uid,
            "gid": self.account.pw_gid,
            "groups": groups((server / "status").read_text()),
            "limits": limits((server / "limits").read_text()),
            "processors": processors(self.group),
        }


def caller_of(connection: socket.socket, site: Site, hierarchy: cgroups.Hierarchy) -> Caller | None:
    """Return the server at the other end; None when it is none, whatever else it is.

    Its process must be the one that the fork server has written down, in the control group it was put into.
    """
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    process = Process.of(pid)
    if process is None or uid == 0:
        return None
    for key in {line.rpartition("/")[2] for line in _text(Path(f"/proc/{pid}/cgroup")).splitlines()}:
        try:
            told = json.loads((site.servers / key / "server.json").read_text())
            account, group = pwd.getpwuid(uid), cgroups.Group(hierarchy, told["group"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        same = (told["pid"], told["started"], told["uid"]) == (process.pid, process.started, uid)
        if same and told["user"] == account.pw_name and told["group"] and pid in group.pids() and process.alive():
            return Caller(process, account, group)
    return None


def groups(status: str) -> list[int]:
    """Return the groups of a process, those of devices that its server was given included, from /proc/<pid>/status."""
    line = next(line for line in status.splitlines() if line.startswith("Groups:"))
    return [int(word) for word in line.split()[1:]]


def limits(text: str) -> list[tuple[int, int, int]]:
    """Return number, soft and hard value of each limit that /proc/<pid>/limits tells."""
    found = _LIMIT.findall(text)
    return [(_LIMITS[name], _number(soft), _number(hard)) for name, soft, hard in found if name in _LIMITS]


def _number(word: str) -> int:
    return resource.RLIM_INFINITY if word == "unlimited" else int(word)


def processors(group: cgroups.Group) -> int:
    """Return how many processors a group may use, at least one: its limit, or what this process may use."""
    for folder in group.folders:
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.strip().isdecimal() and period.strip().isdecimal():
            return max(1, round(int(quota) / int(period)))
    return len(os.sched_getaffinity(0))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
