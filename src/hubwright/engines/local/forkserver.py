"""The fork server: root, one thread, everything imported; it forks notebook servers and keeps watch over them.

Two sockets, both for the hub's account only. On `start.sock` it forks *before* it reads, so that a user's token is
never in the memory that the next user's child inherits. On `fork.sock` it answers what holds no secret: list, poll,
wait, signal, stop, stop_all. A server is known by pid and start time, and written down in its folder, so that a fork
server that was killed finds every server again when it comes back.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from hubwright.engines.local import launch, places, preload, starting
from hubwright.errors import HubwrightError, MachineError, Refused
from hubwright.fields import Site
from hubwright.machine import cgroups, delegate, site_file, wire
from hubwright.machine.process import Process

_PATIENCE = 5.0
"""Seconds a caller has for sending its request."""
_SETUP = 20.0
"""Seconds a child has for becoming a user's server."""


@dataclass
class Server:
    """One notebook server, from its child's first word until the hub forgets it."""

    key: str
    user: str
    name: str
    process: Process
    pidfd: int
    ours: bool
    """Whether it is a child of this process, so that its exit code can be learnt."""
    group: str = ""
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


class Connection:
    """A caller on the control socket; its request is read and answered without ever blocking."""

    def __init__(self, loop: ForkServer, caller: socket.socket) -> None:
        self.loop = loop
        self.socket = caller
        self.socket.setblocking(False)
        self.received = b""
        self.unsent = b""
        loop.watch(caller, self.read)
        loop.later(_PATIENCE, lambda: None if self.received.endswith(b"\n") else self.close())

    def read(self) -> None:
        """Take what has arrived; handle the request when it is whole."""
        try:
            part = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part or len(self.received) > wire.LIMIT:
            self.close()
            return
        self.received += part
        if self.received.endswith(b"\n"):
            self.loop.handle(self)

    def answer(self, message: dict[str, Any]) -> None:
        """Send the one answer, however slowly the caller reads it, then close."""
        if self.socket.fileno() == -1:
            return
        self.unsent = wire.encode(message)
        self.loop.unwatch(self.socket)
        self.loop.watch(self.socket, self.write, selectors.EVENT_WRITE)
        self.loop.later(_PATIENCE, self.close)

    def write(self) -> None:
        """Send what can be sent now."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.unsent = b""
        if not self.unsent:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self.socket.fileno() != -1:
            self.loop.unwatch(self.socket)
            self.socket.close()


class ForkServer:
    """The loop: a selector, timers, and the table of servers."""

    def __init__(self, site: Site, hierarchy: cgroups.Hierarchy) -> None:
        self.site = site
        self.hierarchy = hierarchy
        self.servers: dict[str, Server] = {}
        self.selector = selectors.DefaultSelector()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.callers = {0, os.geteuid(), places.account_ids(site)[0]}
        group = places.account_ids(site)[1] if site.privileged else -1
        self.starts = wire.listen(site.start_socket, 0o660, group)
        self.control = wire.listen(site.fork_socket, 0o660, group)
        self.watch(self.starts, self.accept_start)
        self.watch(self.control, self.accept_control)
        for found in places.recorded(site):
            self.adopt(found)

    # The loop

    def watch(self, file: socket.socket | int, action: Callable[[], None], event: int = selectors.EVENT_READ) -> None:
        """Call `action` when `file` is ready."""
        self.selector.register(file, event, action)

    def unwatch(self, file: socket.socket | int) -> None:
        """Stop watching."""
        try:
            self.selector.unregister(file)
        except (KeyError, ValueError):
            pass

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` once, in that many seconds."""
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.numbers), action))

    def serve(self) -> None:
        """Run until a signal ends this process; the servers live on."""
        while True:
            wait = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
            for key, _ in self.selector.select(wait):
                if key.fileobj in self.selector.get_map() and self.selector.get_key(key.fileobj).data is key.data:
                    key.data()
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()

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
            Connection(self, caller)

    def accept_start(self) -> None:
        """Fork for a caller that wants a server; the child alone reads what it wants."""
        caller = self.accept(self.starts)
        if caller is None:
            return
        if preload.threads() != 1:
            raise MachineError("The fork server has more than one thread; a fork would not be safe.")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self.leave_everything(caller, theirs)
            starting.run(self.site, self.hierarchy, caller, theirs)
        caller.close()
        theirs.close()
        Starting(self, pid, ours)

    def leave_everything(self, *keep: socket.socket) -> None:
        """In a child: close every descriptor of the fork server but those of `keep` and the standard three."""
        wanted = sorted(file.fileno() for file in keep)
        self.selector.close()
        low = 3
        for number in wanted:
            os.closerange(low, number)
            low = number + 1
        os.closerange(low, 2**20)

    # Watching

    def adopt(self, found: places.Recorded) -> None:
        """Take a server that an earlier fork server started."""
        with found.process.descriptor() as pidfd:
            if pidfd is None:
                self.clean(found.key, found.group)
                return
            kept = os.dup(pidfd)
        server = Server(found.key, found.user, found.server, found.process, kept, False, found.group)
        self.add(server)

    def add(self, server: Server) -> None:
        """Put a server into the table and watch for its end."""
        self.servers[server.key] = server
        self.watch(server.pidfd, lambda: self.ended(server))

    def ended(self, server: Server) -> None:
        """A server's process has ended: learn the code, end what it left, tell who waits."""
        self.unwatch(server.pidfd)
        os.close(server.pidfd)
        server.code = 0
        if server.ours:
            _, status = os.waitpid(server.process.pid, 0)
            server.code = os.waitstatus_to_exitcode(status)
        self.clean(server.key, server.group)
        for waiter in server.waiters:
            waiter.answer({"ok": True, "state": "exited", "code": server.code})
        server.waiters.clear()

    def clean(self, key: str, group: str, tries: int = 50) -> None:
        """End every process a server left and remove its folder and its group."""
        if group:
            found = cgroups.Group(self.hierarchy, group)
            found.kill()
            if not found.remove() and tries:
                self.later(0.1, lambda: self.clean_again(key, group, tries - 1))
            else:
                cgroups.Group(self.hierarchy, str(Path(group).parent)).remove()
        else:
            places.end_strays(key)
        places.remove(self.site, key)

    def clean_again(self, key: str, group: str, tries: int) -> None:
        """Try once more, unless the server was started anew meanwhile."""
        server = self.servers.get(key)
        if server is None or server.code is not None:
            self.clean(key, group, tries)

    # Answering

    def handle(self, connection: Connection) -> None:
        """Answer one request of the control socket."""
        try:
            request = wire.decode(connection.received)
            self.unwatch(connection.socket)
            answer = self.reply(request, connection)
        except HubwrightError as error:
            answer = {"ok": False, "error": error.problem.what, "remedy": error.problem.remedy}
        if answer is not None:
            connection.answer(answer)

    def reply(self, request: dict[str, Any], connection: Connection) -> dict[str, Any] | None:
        """Return the answer, None when it comes later."""
        operation = request.get("op")
        if operation == "list":
            running = [server.describe(self.hierarchy) for server in self.servers.values() if server.code is None]
            return {"ok": True, "servers": running}
        if operation == "stop_all":
            self.stop_all(connection, float(request.get("grace", 10)))
            return None
        server = self.servers.get(str(request.get("key")))
        if server is None:
            return {"ok": True, "state": "unknown"}
        if server.code is not None and operation != "log":
            return {"ok": True, "state": "exited", "code": server.code}
        match operation:
            case "poll":
                return {"ok": True, "state": "running", "pid": server.process.pid, "started": server.process.started}
            case "log":
                return {"ok": True, "state": "running", "text": places.log_tail(self.site, server.user, server.name)}
            case "wait":
                server.waiters.append(connection)
                return None
            case "stop":
                server.waiters.append(connection)
                self.stop(server, float(request.get("grace", 10)))
                return None
            case "signal":
                number = request.get("signal")
                if number not in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                    raise Refused(f"The signal {number!r} is not one that the hub may send.")
                signal.pidfd_send_signal(server.pidfd, number)
                return {"ok": True, "state": "running"}
        raise Refused(f"The fork server does not know {operation!r}.")

    def stop(self, server: Server, grace: float) -> None:
        """Ask a server to end; after `grace` seconds end it and all it started."""
        signal.pidfd_send_signal(server.pidfd, signal.SIGTERM)

        def insist() -> None:
            if server.code is None:
                signal.pidfd_send_signal(server.pidfd, signal.SIGKILL)

        self.later(grace, insist)

    def stop_all(self, connection: Connection, grace: float) -> None:
        """Stop every server; answer when the last has ended."""
        running = [server for server in self.servers.values() if server.code is None]
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
        self.settled = True
        process = Process(self.pid, words["started"])
        server = Server(words["key"], words["user"], words["server"], process, os.dup(self.pidfd), True, words["group"])
        self.loop.unwatch(self.pidfd)
        os.close(self.pidfd)
        self.loop.add(server)
        self.channel.send(b"go")

    def ended(self) -> None:
        """The child ended before it became a server; it has told its caller why."""
        self.loop.unwatch(self.pidfd)
        os.close(self.pidfd)
        os.waitpid(self.pid, 0)
        self.settled = True

    def expire(self) -> None:
        """End a child that never said what it will be."""
        if not self.settled:
            os.kill(self.pid, signal.SIGKILL)


def main() -> None:
    """Import everything, then serve; the program behind `python -m hubwright.engines.local.forkserver`."""
    os.umask(0o077)
    if "" in sys.path or str(Path.cwd()) in sys.path:
        sys.path[:] = [folder for folder in sys.path if folder not in ("", str(Path.cwd()))]
    try:
        site = site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))
        if strange := [name for name in os.environ if name.startswith(("PYTHON", "LD_"))]:
            raise MachineError(f"The environment of the fork server has {', '.join(strange)}.", remedy="Unset it.")
        setproctitle("hubwright fork server")  # before anything changes the environment, which lies beside the title
        preload.load((*preload.SERVER, *places.preloads(site)))
        preload.KERNEL_ENVIRONMENT.update(preload.load(preload.KERNEL))
        starting.prepare()
        os.environ.clear()
        preload.settle()
        hierarchy = places.hierarchy(site)
        launch.FILES.raise_limit()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop = ForkServer(site, hierarchy)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            loop.serve()
        finally:
            if all(server.code is not None for server in loop.servers.values()):
                delegate.release(hierarchy)
    except HubwrightError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
