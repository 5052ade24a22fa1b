"""Control groups, version 2 or 1: one folder a user, one below it a server, with limits that really hold.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. Standard library only: the fork server
imports it as root.
"""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hubwright.errors import MachineError

CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD = 100_000
"""Microseconds over which a processor limit is counted (the kernel's default)."""
_MEMORY_1 = ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes")
_ROUNDS = 10
"""How often processes are looked for in a group that is being ended: each round finds what was forked in the last."""
_VANISHED = (errno.ENOENT, errno.ENODEV, errno.EEXIST)
"""What one is told of a folder that is removed while one uses it (the last by `Path.mkdir`)."""


@dataclass(frozen=True)
class Limits:
    """What a server may take; None is no limit."""

    memory: int | None = None
    """Bytes, swap included where the machine counts it."""
    cpu: float | None = None
    """Processors; 0.5 is half of one."""
    processes: int | None = None
    """Processes and threads together."""

    def within(self, allowed: Limits) -> Limits:
        """Return the smaller of each; what is not limited here is limited as there."""
        return Limits(
            _smaller(self.memory, allowed.memory),
            _smaller(self.cpu, allowed.cpu),
            _smaller(self.processes, allowed.processes),
        )

    @property
    def wanted(self) -> tuple[str, ...]:
        """The controllers without which these limits would be words."""
        values = zip(CONTROLLERS, (self.memory, self.cpu, self.processes), strict=True)
        return tuple(name for name, value in values if value is not None)


@dataclass(frozen=True)
class Reserve:
    """What a server keeps for itself, whatever others do; zero is nothing."""

    cpu: float = 0.0
    """Processors."""
    memory: int = 0
    """Bytes."""

    def __bool__(self) -> bool:
        return self.cpu > 0 or self.memory > 0

    def within(self, allowed: Reserve) -> Reserve:
        """Return the smaller of each."""
        return Reserve(min(self.cpu, allowed.cpu), min(self.memory, allowed.memory))


NO_LIMITS = Limits()
NO_RESERVE = Reserve()
_Number = TypeVar("_Number", int, float)


def _smaller(one: _Number | None, other: _Number | None) -> _Number | None:
    return other if one is None else one if other is None else min(one, other)


@dataclass(frozen=True)
class Usage:
    """What a group takes now."""

    memory: int
    """Bytes in use, without file pages the kernel would drop first."""
    cpu: float
    """Seconds of processor time since the group was made."""
    processes: int
    oom_kills: int
    """How many processes the kernel ended because the group was at its memory limit."""


@dataclass(frozen=True)
class Hierarchy:
    """Where groups can be made on this machine: a mount point for each controller; with version 2 all the same."""

    version: int
    mounts: dict[str, Path]
    base: str
    """The folder below each mount that belongs to this service."""

    def missing(self, limits: Limits) -> str:
        """Return a sentence about what cannot be enforced here, empty when everything can."""
        absent = [name for name in limits.wanted if name not in self.mounts]
        if not absent:
            return ""
        return f"this machine cannot enforce a limit on {' and '.join(absent)} (no such control group controller)"

    def group(self, *names: str) -> Group:
        """Return the group `names[0]/names[1]` below this service's own; nothing is made yet."""
        return Group(self, "/".join((self.base, *names)))


@dataclass(frozen=True)
class Group:
    """One control group, in every controller's tree."""

    hierarchy: Hierarchy
    path: str

    @property
    def folders(self) -> tuple[Path, ...]:
        """Its folder in each tree, once each."""
        return tuple(dict.fromkeys(mount / self.path for mount in self.hierarchy.mounts.values()))

    def _folder(self, controller: str) -> Path | None:
        mount = self.hierarchy.mounts.get(controller)
        return mount / self.path if mount else None

    def make(self, tries: int = 50) -> None:
        """Make the group and those above it, ready to hold limits; as often as one likes.

        The user's group may be removed meanwhile, with the last of the user's other servers: then once more.
        """
        for left in reversed(range(tries)):
            try:
                self._make()
                return
            except (OSError, MachineError) as error:
                cause = error.__cause__ or error
                if not left or not isinstance(cause, OSError) or cause.errno not in _VANISHED:
                    raise

    def _make(self) -> None:
        for folder in self.folders:
            mount = next(m for m in self.hierarchy.mounts.values() if folder.is_relative_to(m))
            steps = folder.relative_to(mount).parts
            for depth in range(len(steps)):
                parent = mount.joinpath(*steps[:depth])
                if self.hierarchy.version == 2:
                    _enable(parent, tuple(self.hierarchy.mounts))
                (parent / steps[depth]).mkdir(exist_ok=True)
                (parent / steps[depth]).chmod(0o755)  # whatever the umask: a server reads its own counters
                if self.hierarchy.version == 1 and folder.is_relative_to(
                    self.hierarchy.mounts.get("memory", folder / "x")
                ):
                    _try_write(parent / steps[depth] / "memory.use_hierarchy", "1")

    def limit(self, limits: Limits) -> None:
        """Set the limits; without one on processes there is none any more.

        Raises:
            MachineError: one of them cannot be enforced on this machine.
        """
        if missing := self.hierarchy.missing(limits):
            raise MachineError(missing, remedy="Leave the limit out, or boot with control groups (cgroup v2).")
        new = self.hierarchy.version == 2
        if (folder := self._folder("memory")) and limits.memory is not None:
            if new:
                _write(folder / "memory.max", str(limits.memory))
                _try_write(folder / "memory.swap.max", "0")
            else:  # together with swap is never less than without: which is first depends on the old limit
                _try_write(folder / "memory.memsw.limit_in_bytes", str(limits.memory))
                _write(folder / "memory.limit_in_bytes", str(limits.memory))
                _try_write(folder / "memory.memsw.limit_in_bytes", str(limits.memory))
        if (folder := self._folder("cpu")) and limits.cpu is not None:
            quota = max(1000, round(limits.cpu * _PERIOD))
            if new:
                _write(folder / "cpu.max", f"{quota} {_PERIOD}")
            else:
                _write(folder / "cpu.cfs_period_us", str(_PERIOD))
                _write(folder / "cpu.cfs_quota_us", str(quota))
        if folder := self._folder("pids"):
            if limits.processes is not None:
                _write(folder / "pids.max", str(limits.processes))
            else:  # after `kill`
                _try_write(folder / "pids.max", "max")

    def unlimit(self) -> None:
        """Take the limits off memory and processors, where there are any."""
        if folder := self._folder("memory"):
            names = ("memory.max",) if self.hierarchy.version == 2 else _MEMORY_1
            for name in names:
                _try_write(folder / name, "max" if self.hierarchy.version == 2 else "-1")
        if folder := self._folder("cpu"):
            name, text = ("cpu.max", "max") if self.hierarchy.version == 2 else ("cpu.cfs_quota_us", "-1")
            _try_write(folder / name, text)

    def weigh(self, processors: float) -> None:
        """Give it this many processors' share of a busy machine, against the groups beside it."""
        if folder := self._folder("cpu"):
            if self.hierarchy.version == 2:
                _write(folder / "cpu.weight", str(min(10_000, max(1, round(processors * 100)))))
            else:
                _write(folder / "cpu.shares", str(min(262_144, max(2, round(processors * 1024)))))

    def protect(self, memory: int) -> None:
        """Have the kernel leave it so many bytes when others want memory; version 2 only, nothing elsewhere."""
        if self.hierarchy.version == 2 and (folder := self._folder("memory")):
            _write(folder / "memory.min", str(memory))

    def enter(self, pid: int) -> None:
        """Move a process, with all its threads, into the group."""
        for folder in self.folders:
            _write(folder / "cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """Return the processes in it now."""
        for folder in self.folders:
            try:
                return [int(word) for word in (folder / "cgroup.procs").read_text().split()]
            except FileNotFoundError:
                continue
        return []

    def usage(self) -> Usage:
        """Return what it takes now; zeros for a group that is not there."""
        new = self.hierarchy.version == 2
        memory = self._folder("memory")
        held = dropped = kills = 0
        if memory:
            held = _number(memory / ("memory.current" if new else "memory.usage_in_bytes"))
            dropped = _keyed(memory / "memory.stat", "inactive_file" if new else "total_inactive_file")
            kills = _keyed(memory / ("memory.events" if new else "memory.oom_control"), "oom_kill")
        spent = 0.0
        if new and (cpu := self._folder("cpu")):
            spent = _keyed(cpu / "cpu.stat", "usage_usec") / 1e6
        elif account := self._folder("cpuacct"):
            spent = _number(account / "cpuacct.usage") / 1e9
        pids = self._folder("pids")
        return Usage(max(0, held - dropped), spent, _number(pids / "pids.current") if pids else 0, kills)

    def oom_file(self) -> Path | None:
        """The file in which the kernel counts the processes it ended for memory."""
        folder = self._folder("memory")
        name = "memory.events" if self.hierarchy.version == 2 else "memory.oom_control"
        return folder / name if folder else None

    def kill(self) -> None:
        """End every process in it with SIGKILL, and let none be forked in it until `limit` is called again.

        Never waits: they are gone a moment later, or much later when the kernel does not let go of one. Where the
        machine counts no processes, what forks faster than it is ended takes more than one call.
        """
        if self.hierarchy.version == 2 and _try_write(self.folders[0] / "cgroup.kill", "1"):
            return
        if folder := self._folder("pids"):
            _try_write(folder / "pids.max", "0")
        ended: set[int] = set()
        for _ in range(_ROUNDS):
            if not (pids := set(self.pids()) - ended):
                return
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            ended |= pids

    def remove(self) -> bool:
        """Remove the empty group; False while something is left in it."""
        gone = True
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                gone = False
        return gone

    def below(self, pattern: str) -> list[Group]:
        """Return the groups below it, in any tree, whose path from here matches a pattern as of `Path.glob`."""
        found = {path.relative_to(folder) for folder in self.folders for path in folder.glob(pattern + "/")}
        return [Group(self.hierarchy, f"{self.path}/{path}") for path in sorted(found)]

    def sweep(self) -> bool:
        """Remove every empty group below it, and it; False while something is left."""
        for folder in self.folders:
            for place, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):
                    Path(place).rmdir()
        return not any(folder.exists() for folder in self.folders)


def count_oom_kills(file: Path) -> int:
    """Return how many processes the kernel ended for memory, from a group's `oom_file`."""
    return _keyed(file, "oom_kill")


def find(base: str, mountinfo: str | None = None, *, to_read: bool = False) -> Hierarchy:
    """Return where this machine keeps control groups that can be written; in a container they often cannot.

    Args:
        base: the folder below each mount that groups are made in, `hubwright-1a2b3c4d`.
        mountinfo: the text of /proc/self/mountinfo, see proc(5).
        to_read: whether those will do that can only be read.
    """
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    unified: Path | None = None
    old: dict[str, Path] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        mount = Path(left.split()[4])
        if "ro" in left.split()[5].split(",") and not to_read:
            continue
        if kind == "cgroup2":
            unified = mount
        elif kind == "cgroup":
            old |= {name: mount for name in options.split(",") if name in (*CONTROLLERS, "cpuacct")}
    if unified and not old:
        controllers = _read(unified / "cgroup.controllers").split()
        return Hierarchy(2, {name: unified for name in CONTROLLERS if name in controllers}, base)
    return Hierarchy(1, old, base)


def trees(mountinfo: str | None = None) -> tuple[Path, ...]:
    """Return where every hierarchy of control groups is mounted, also those that `find` has no use for."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    lines = (line.partition(" - ") for line in text.splitlines())
    return tuple(Path(left.split()[4]) for left, _, right in lines if right.split()[0] in {"cgroup", "cgroup2"})


def _enable(folder: Path, controllers: tuple[str, ...]) -> None:
    active = _read(folder / "cgroup.subtree_control").split()
    for name in controllers:
        if name not in active:
            _write(folder / "cgroup.subtree_control", f"+{name}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise MachineError(f"cannot write {text} ({error.strerror})", where=str(path)) from error


def _try_write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _read(path).strip()
    return int(text) if text.isdigit() else 0


def _keyed(path: Path, key: str) -> int:
    for line in _read(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0
