"""The fork server: root, one thread, everything imported; it forks notebook servers and keeps watch over them.

Two sockets, both for the hub's account only. On `start.sock` it forks *before* it reads, so that a user's token is
never in the memory that the next user's child inherits. On `fork.sock` it answers what holds no secret: list, groups,
poll, wait, log, stop, stop_all. A server is known by pid and start time, and written down in its folder, so that a fork
server that was killed finds every server again when it comes back.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from hubwright.engines.local import launch, page, places, preload, starting
from hubwright.engines.local.child import Starting
from hubwright.engines.local.loop import Connection
from hubwright.engines.local.servers import AT_ONCE, Server, Servers
from hubwright.errors import HubwrightError, MachineError, Refused
from hubwright.fields import Site
from hubwright.machine import cgroups, delegate, merging, site_file, wire

_LONGEST_GRACE = 600.0


class ForkServer(Servers):
    """Forks a child for who wants a server, and says what callers may know of those there are."""

    def __init__(self, site: Site, hierarchy: cgroups.Hierarchy, at_once: int = AT_ONCE) -> None:
        """Listen, and find what runs already; `at_once` starts may be under way."""
        super().__init__(site, hierarchy)
        self.at_once = at_once
        self.callers = {0, os.geteuid(), places.account_ids(site)[0]}
        group = places.account_ids(site)[1] if site.privileged else -1
        self.starts = wire.listen(site.start_socket, 0o660, group)
        self.control = wire.listen(site.fork_socket, 0o660, group)
        self.starting = 0
        self.watch(self.starts, self.accept_start)
        self.watch(self.control, self.accept_control)
        self.find()

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
            self.begin(pid, ours)
        finally:
            caller.close()
            theirs.close()

    def begin(self, pid: int, channel: socket.socket) -> None:
        """Hear of a child that is about to become a server; when there are many, nobody else may come meanwhile."""

        def done() -> None:
            if self.starting == self.at_once:
                self.watch(self.starts, self.accept_start)
            self.starting -= 1

        Starting(self, pid, channel, done)
        self.starting += 1
        if self.starting == self.at_once:
            self.unwatch(self.starts)

    def leave_everything(self, *keep: socket.socket) -> None:
        """In a child: close every descriptor of the fork server but those of `keep` and the standard three."""
        self.selector.close()
        low = 3
        for number in sorted(file.fileno() for file in keep):
            os.closerange(low, number)
            low = number + 1
        os.closerange(low, 2**20)

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


def _grace(request: dict[str, Any]) -> float:
    """Return the seconds a request gives a server to end."""
    grace = request.get("grace", 10)
    if not isinstance(grace, int | float) or not 0 <= grace <= _LONGEST_GRACE:
        raise Refused(f"The grace {grace!r} is not a number of seconds up to {_LONGEST_GRACE:g}.")
    return float(grace)


def main() -> None:
    """Import everything, then serve; the program behind `python -m hubwright.engines.local`."""
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
        page.prepare(site)
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
