"""The fork server: root, one thread, everything imported; it forks notebook servers and keeps watch over them.

Two sockets, both for the hub's account only. On `start.sock` it forks *before* it reads, so that a user's token is
never in the memory that the next user's child inherits. On `fork.sock` it answers what holds no secret: list, groups,
poll, wait, log, stop, stop_all. A server is known by pid and start time, and written down in its folder, so that a fork
server that was killed finds every server again when it comes back.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from hubwright.engines.local import launch, places, preload, starting
from hubwright.engines.local.loop import Connection, Loop
from hubwright.engines.local.output import PIPE, Output, make_pipe
from hubwright.errors import HubwrightError, MachineError, Refused
from hubwright.fields import Site
from hubwright.machine import cgroups, delegate, merging, room, site_file, wire
from hubwright.machine.policy import Policy
from hubwright.machine.process import Process

_SETUP = 20.0
"""Seconds a child has for becoming a user's server."""
_REMEMBERED = 600.0
"""Seconds for which the exit code of a server that ended can be asked."""
_LONGEST_GRACE = 600.0


@dataclass
class Server:
    """One notebook server, from its child's first word until its exit code is forgotten."""

    key: str
    user: str
    name: str
    process: Process
    pidfd: int
    ours: bool
    """Whether it is a child of this process, so that its exit code can be learnt."""
    group: str = ""
    reserve: cgroups.Reserve = cgroups.NO_RESERVE
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


class ForkServer(Loop):
    """The table of servers, and what callers may ask of it."""

    def __init__(self, site: Site, hierarchy: cgroups.Hierarchy) -> None:
        super().__init__()
        self.site = site
        self.hierarchy = hierarchy
        self.servers: dict[str, Server] = {}
        self.callers = {0, os.geteuid(), places.account_ids(site)[0]}
        group = places.account_ids(site)[1] if site.privileged else -1
        self.starts = wire.listen(site.start_socket, 0o660, group)
        self.control = wire.listen(site.fork_socket, 0o660, group)
        self.watch(self.starts, self.accept_start)
        self.watch(self.control, self.accept_control)
        for found in places.recorded(site):
            self.adopt(found)
        self.end_strays()
        room.open_up(self.hierarchy)
        self.share()

    # Starting

    def accept(self, listener: socket.socket) -> socket.socket | None:
        """Return the next caller, None when it is nobody who may call."""
        try:
            caller, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        if wire.peer(caller) in self.callers:
            return caller
        caller.close()
        return None

    def accept_control(self) -> None:
        """Take a caller on the control socket."""
        if caller := self.accept(self.control):
            Connection(self, caller, self.handle)

    def accept_start(self) -> None:
        """Fork for a caller that wants a server; the child alone reads what it wants."""
        caller = self.accept(self.starts)
        if caller is None:
            return
        if preload.threads() != 1:
            raise MachineError("The fork server has more than one thread; a fork would not be safe.")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
            if pid == 0:
                self.leave_everything(caller, theirs)
                starting.run(self.site, self.hierarchy, caller, theirs)
            Starting(self, pid, ours)
        finally:
            caller.close()
            theirs.close()

    def leave_everything(self, *keep: socket.socket) -> None:
        """In a child: close every descriptor of the fork server but those of `keep` and the standard three."""
        self.selector.close()
        low = 3
        for number in sorted(file.fileno() for file in keep):
            os.closerange(low, number)
            low = number + 1
        os.closerange(low, 2**20)

    # Watching

    def adopt(self, found: places.Recorded) -> None:
        """Take a server that an earlier fork server started."""
        server = Server(found.key, found.user, found.server, found.process, -1, False, found.group, found.reserve)
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
        try:
            place.mkdir(mode=0o711, exist_ok=True)
            make_pipe(place)
            self.hear(server)
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
        server.reserve = cgroups.NO_RESERVE
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

    def empty(self, group: cgroups.Group, server: Server | None = None, tries: int = 50) -> None:
        """End what is in a server's group and remove it, in some seconds; not once another server runs in it."""
        if any(other is not server and other.group == group.path for other in self.running()):
            return
        group.kill()
        if group.remove() or not tries:
            cgroups.Group(self.hierarchy, str(Path(group.path).parent)).remove()
        else:
            self.later(0.1, lambda: self.empty(group, server, tries - 1))

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

    # Answering

    def handle(self, connection: Connection) -> None:
        """Answer one request of the control socket."""
        try:
            answer = self.reply(wire.decode(connection.received), connection)
        except HubwrightError as error:
            answer = {"ok": False, "error": error.problem.what, "remedy": error.problem.remedy}
        if answer is not None:
            connection.answer(answer)

    def reply(self, request: dict[str, Any], connection: Connection) -> dict[str, Any] | None:
        """Return the answer, None when it comes later."""
        operation = request.get("op")
        if operation == "list":
            return {"ok": True, "servers": [server.describe(self.hierarchy) for server in self.running()]}
        if operation == "groups":
            return self.groups(request.get("keys"))
        if operation == "stop_all":
            self.stop_all(connection, _grace(request))
            return None
        server = self.servers.get(str(request.get("key")))
        if server is None:
            return {"ok": True, "state": "unknown"}
        if operation == "log":
            if server.output:
                server.output.drain()
            return {"ok": True, "text": places.log_tail(self.site, server.user, server.name)}
        if server.code is not None:
            return {"ok": True, "state": "exited", "code": server.code}
        if operation == "poll":
            return {"ok": True, "state": "running", "pid": server.process.pid, "started": server.process.started}
        if operation not in ("wait", "stop"):
            raise Refused(f"The fork server does not know {operation!r}.")
        server.waiters = [waiter for waiter in server.waiters if waiter.open]
        server.waiters.append(connection)
        if operation == "stop":
            self.stop(server, _grace(request))
        return None

    def groups(self, keys: object) -> dict[str, Any]:
        """Return where control groups are, and whose servers run: all of them, or those of a list of keys."""
        wanted = self.servers.keys() if keys is None else keys
        if not isinstance(wanted, Iterable) or not all(isinstance(key, str) for key in wanted):
            raise Refused("The keys are not a list of keys.")
        found = {key: server for key in wanted if (server := self.servers.get(key)) and server.code is None}
        return {
            "ok": True,
            "version": self.hierarchy.version,
            "mounts": {name: str(mount) for name, mount in self.hierarchy.mounts.items()},
            "base": self.hierarchy.base,
            "servers": {
                key: [server.user, server.name, server.process.pid, server.process.started]
                for key, server in found.items()
            },
        }

    def stop(self, server: Server, grace: float) -> None:
        """Ask a server to end; after `grace` seconds end it and all it started."""
        server.signal(signal.SIGTERM)
        self.later(grace, lambda: server.signal(signal.SIGKILL) if server.code is None else None)

    def stop_all(self, connection: Connection, grace: float) -> None:
        """Stop every server; answer when the last has ended."""
        running = self.running()
        for server in running:
            self.stop(server, grace)

        def look() -> None:
            if any(server.code is None for server in running):
                self.later(0.05, look)
            else:
                connection.answer({"ok": True, "stopped": len(running)})

        look()


class Starting:
    """A child between its fork and its server: the fork server's end of their pair."""

    def __init__(self, loop: ForkServer, pid: int, channel: socket.socket) -> None:
        self.loop = loop
        self.pid = pid
        self.channel = channel
        self.pidfd = os.pidfd_open(pid)
        self.settled = False
        channel.setblocking(False)
        loop.watch(channel, self.read)
        loop.watch(self.pidfd, self.ended)
        loop.later(_SETUP, self.expire)

    def read(self) -> None:
        """Hear what the child will be, and let it go on unless the server runs already."""
        try:
            packet = self.channel.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:
            self.loop.unwatch(self.channel)
            self.channel.close()
            return
        words = json.loads(packet)
        old = self.loop.servers.get(words["key"])
        if old and old.code is None:
            self.channel.send(b"runs")
            return
        process = Process(self.pid, words["started"])
        reserve = cgroups.Reserve(**words["reserve"])
        new = Server(words["key"], words["user"], words["server"], process, self.pidfd, True, words["group"], reserve)
        why = self.loop.share(new)
        try:
            if not why:
                self.loop.hear_anew(new)
        except MachineError as error:
            why = error
        if why:
            self.channel.send(starting.refusal(why))
            self.loop.share()
            return
        self.settled = True
        self.loop.unwatch(self.pidfd)
        self.loop.add(new)
        self.channel.send(b"go")

    def ended(self) -> None:
        """The child ended before it became a server; it has told its caller why."""
        self.loop.unwatch(self.pidfd)
        os.close(self.pidfd)
        self.settled = True
        self.loop.reap(self.pid, True, lambda _code: None)

    def expire(self) -> None:
        """End a child that never said what it will be."""
        if not self.settled:
            os.kill(self.pid, signal.SIGKILL)


def _grace(request: dict[str, Any]) -> float:
    """Return the seconds a request gives a server to end."""
    grace = request.get("grace", 10)
    if not isinstance(grace, int | float) or not 0 <= grace <= _LONGEST_GRACE:
        raise Refused(f"The grace {grace!r} is not a number of seconds up to {_LONGEST_GRACE:g}.")
    return float(grace)


def main() -> None:
    """Import everything, then serve; the program behind `python -m hubwright.engines.local.forkserver`."""
    os.umask(0o077)
    launch.default_signals()  # a service that is started by nohup, or in the background, ignores some
    if "" in sys.path or str(Path.cwd()) in sys.path:
        sys.path[:] = [folder for folder in sys.path if folder not in ("", str(Path.cwd()))]
    try:
        site = site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))
        if strange := [name for name in os.environ if name.startswith(("PYTHON", "LD_"))]:
            raise MachineError(f"The environment of the fork server has {', '.join(strange)}.", remedy="Unset it.")
        setproctitle("hubwright fork server")  # before anything changes the environment, which lies beside the title
        wishes = places.wishes(site)
        preload.load((*preload.SERVER, *wishes.preload))
        preload.KERNEL_ENVIRONMENT.update(preload.load(preload.KERNEL))
        starting.prepare(site)
        os.environ.clear()
        preload.settle()
        if wishes.merge_memory:
            merging.begin(places.merging_record(site))
        else:
            merging.end(places.merging_record(site))
        hierarchy = places.hierarchy(site)
        launch.FILES.raise_limit()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop = ForkServer(site, hierarchy)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            loop.serve()
        finally:
            if not loop.running():
                delegate.release(hierarchy)
                merging.end(places.merging_record(site))
    except HubwrightError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
