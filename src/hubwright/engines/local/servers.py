"""The fork server's table: each server from its child's first word until its exit code is forgotten."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.engines.local import gpus, launch, places
from hubwright.engines.local.loop import Connection, Loop
from hubwright.engines.local.output import PIPE, Output, make_pipe, prune
from hubwright.errors import Full, HubwrightError, MachineError, Refused
from hubwright.fields import Site
from hubwright.machine import cgroups, delegate, room
from hubwright.machine.policy import Policy
from hubwright.machine.process import Process

AT_ONCE = 256
"""Children that are about to become servers, more than the hub starts at once; who comes then waits in the backlog."""
_REMEMBERED = 600.0
"""Seconds for which the exit code of a server that ended can be asked."""
_LONGEST_WAIT = 5.0
"""Seconds between two looks at a process that does not end."""


@dataclass
class Server:
    """One notebook server."""

    key: str
    user: str
    name: str
    process: Process
    pidfd: int
    ours: bool
    """Whether it is a child of this process, so that its exit code can be learnt."""
    group: str = ""
    reserve: cgroups.Reserve = cgroups.NO_RESERVE
    gpus: tuple[str, ...] = ()
    output: Output | None = None
    """Where what it prints is taken from; None for one of an older Hubwright, which writes its log itself."""
    code: int | None = None
    waiters: list[Connection] = field(default_factory=list)

    def describe(self, hierarchy: cgroups.Hierarchy) -> dict[str, Any]:
        """Return what `list` says of it."""
        usage = cgroups.Group(hierarchy, self.group).usage() if self.group else None
        return {
            "user": self.user,
            "server": self.name,
            "pid": self.process.pid,
            "started": self.process.started,
            "memory": usage.memory if usage else None,
            "cpu": usage.cpu if usage else None,
            "processes": usage.processes if usage else None,
        }

    def signal(self, number: int) -> None:
        """Send a signal to exactly this process; one that has ended needs none."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass


class Servers(Loop):
    """Knows every server, watches for its end, ends what it left, and divides what all of them share."""

    def __init__(self, site: Site, hierarchy: cgroups.Hierarchy) -> None:
        super().__init__()
        self.site = site
        self.hierarchy = hierarchy
        self.servers: dict[str, Server] = {}

    def find(self) -> None:
        """Take every server that an earlier fork server started, and end what nobody knows any more."""
        for found in places.recorded(self.site):
            self.adopt(found)
        self.end_strays()
        room.open_up(self.hierarchy)
        self.share()

    def adopt(self, found: places.Recorded) -> None:
        """Take a server that an earlier fork server started."""
        server = Server(found.key, found.user, found.server, found.process, -1, False, found.group)
        server.reserve, server.gpus = found.reserve, found.gpus
        with found.process.descriptor() as pidfd:
            if pidfd is None:
                self.clean(server)
                return
            server.pidfd = os.dup(pidfd)
        with suppress(FileNotFoundError):
            self.hear(server)
        self.add(server)

    def end_strays(self) -> None:
        """End what runs in groups of servers that nobody knows any more, and remove these groups."""
        known = {server.group for server in self.servers.values()}
        for group in delegate.servers(self.hierarchy) if self.hierarchy.mounts else ():
            if group.path not in known:
                self.empty(group)

    def hear(self, server: Server) -> None:
        """Take what a server prints to its log, from the pipe in its folder."""
        log = launch.log_path(self.site, server.user, server.name)
        server.output = Output(self, self.site.servers / server.key / PIPE, log)

    def hear_anew(self, server: Server) -> None:
        """As `hear`, for one that is about to start.

        Raises:
            MachineError: its folder, or the pipe in it, cannot be made.
        """
        place = self.site.servers / server.key
        logs = {launch.log_path(self.site, one.user, one.name) for one in (server, *self.running())}
        try:
            place.mkdir(mode=0o711, exist_ok=True)
            make_pipe(place)
            self.hear(server)
            prune(self.site.logs / "users", server.user, logs)
        except OSError as error:
            raise MachineError(f"its folder cannot be made: {error.strerror}", where=str(place)) from error

    def add(self, server: Server) -> None:
        """Put a server into the table and watch for its end."""
        self.servers[server.key] = server
        self.watch(server.pidfd, lambda: self.ended(server))

    def ended(self, server: Server) -> None:
        """A server's process has ended: end what it left, learn the code, tell who waits."""
        self.unwatch(server.pidfd)
        if server.output:
            server.output.close()
        self.clean(server)
        server.reserve, server.gpus = cgroups.NO_RESERVE, ()
        self.reap(server.process.pid, server.ours, lambda code: self.settled(server, code))

    def settled(self, server: Server, code: int) -> None:
        """A server is gone, and its code is known."""
        os.close(server.pidfd)
        server.code = code
        for waiter in server.waiters:
            waiter.answer({"ok": True, "state": "exited", "code": code})
        server.waiters.clear()
        self.share()
        self.later(_REMEMBERED, lambda: self.forget(server))

    def forget(self, server: Server) -> None:
        """Keep nothing of a server that ended long ago."""
        if self.servers.get(server.key) is server:
            del self.servers[server.key]

    def reap(self, pid: int, ours: bool, then: Callable[[int], None]) -> None:
        """Take a child's exit code, without waiting for it: a process that is traced is handed over late."""
        if not ours:
            then(0)
            return
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            then(os.waitstatus_to_exitcode(status))
        else:
            self.later(0.05, lambda: self.reap(pid, ours, then))

    def clean(self, server: Server) -> None:
        """End every process a server left and remove its folder and its group."""
        if server.group:
            self.empty(cgroups.Group(self.hierarchy, server.group), server)
        else:
            places.end_strays(server.key, server.user, server.name)
        places.remove(self.site, server.key)

    def empty(self, group: cgroups.Group, server: Server | None = None, wait: float = 0.1) -> None:
        """End what is in a server's group, and remove it once that is gone; not when another server runs in it.

        The next look is `wait` seconds later, and so on: nobody else waits for what the kernel does not let go of.
        """
        if any(other is not server and other.group == group.path for other in self.running()):
            return
        group.kill()
        if group.remove():
            cgroups.Group(self.hierarchy, str(Path(group.path).parent)).remove()
        else:
            self.later(wait, lambda: self.empty(group, server, min(wait * 1.2, _LONGEST_WAIT)))

    def taken(self, new: Server, most: float | None) -> HubwrightError | None:
        """Return why a server may not be beside those that run, whatever the hub believes; None when it may.

        Its user has `most` already, or another server has a GPU of this one.
        """
        theirs = sum(one.user == new.user for one in self.running())
        if most is not None and theirs >= most:
            what = f"{theirs} of this person's servers run, and hub.yaml allows no more."
            return Refused(what, remedy="Stop one of them, or raise `servers` in hub.yaml.")
        for one in self.running() if new.gpus else ():
            if gpu := gpus.same(new.gpus, one.gpus):
                return Full(f"The GPU {gpu} is used by another server.", remedy="Choose a size without a GPU.")
        return None

    def share(self, new: Server | None = None) -> HubwrightError | None:
        """Divide what all servers share among those that run, and `new`; return why that could not be."""
        if not self.hierarchy.mounts:
            return None
        try:
            found = room.Room.of(Policy.load(self.site.policy), self.hierarchy)
            servers = {one.group: one.reserve for one in (*self.running(), *([new] if new else []))}
            if found and (above := found.settle(servers)):
                sys.stderr.write(f"{above}\n")
        except (HubwrightError, OSError) as error:
            sys.stderr.write(f"What all servers share could not be divided: {error}\n")
            return error if isinstance(error, HubwrightError) else MachineError(str(error))
        return None

    def running(self) -> list[Server]:
        """Return the servers that have not ended."""
        return [server for server in self.servers.values() if server.code is None]
