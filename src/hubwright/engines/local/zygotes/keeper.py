"""The keeper of the zygotes: root, one thread; it starts one for each environment with `preload`.

A server that asks is told at once to execute its kernel when no zygote of the current version is ready. Else the
zygote forks, and its child is put into that server's control group before it becomes the user's. What the server
wants is read by that child alone: the keeper sees the environment's name.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from setproctitle import setproctitle

from hubwright.engines.local import launch
from hubwright.engines.local.loop import Loop
from hubwright.engines.local.zygotes import running, terms
from hubwright.engines.local.zygotes.callers import Caller, caller_of
from hubwright.errors import HubwrightError
from hubwright.fields import Site
from hubwright.machine import cgroups, site_file, wire

_LOOK = 1.0
"""Seconds between two looks at which versions are current."""
_PATIENCE = 5.0
"""Seconds that a caller has for its request."""
_AT_ONCE = 64
"""Callers of one account that are waited for at once: the socket is everybody's. More are left without an answer."""
_HANGS = 20.0
"""Seconds without a child after which a zygote is ended; a busy machine is slow, not silent."""


class Keeper(Loop):
    """Has a zygote run for each current version that wants one."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.hierarchy = cgroups.find("")
        self.zygotes: dict[running.Version, running.Zygote] = {}
        self.failures: dict[running.Version, tuple[int, float]] = {}
        """How often one has ended by itself, and when the next may be started."""
        self.callers: dict[socket.socket, int] = {}
        """Who has said nothing yet, and its user id."""
        self.waiting: Counter[int] = Counter()
        """How many of them there are, by user id."""
        self.listener = wire.listen(site.zygote_socket, 0o666, kind=socket.SOCK_SEQPACKET)
        self.watch(self.listener, self.accept)
        self.look()

    # Zygotes

    def look(self) -> None:
        """Start what is wanted and does not run, and let go what is not wanted any more."""
        self.later(_LOOK, self.look)
        wanted = running.wanted(self.site) if self.hierarchy.mounts else set()
        for version in [version for version in self.zygotes if version not in wanted]:
            self.zygotes.pop(version).retire()
        self.failures = {version: told for version, told in self.failures.items() if version in wanted}
        for version in wanted - self.zygotes.keys():
            if time.monotonic() >= self.failures.get(version, (0, 0.0))[1]:
                self.start(version)

    def start(self, version: running.Version) -> None:
        """Start a zygote."""
        zygote = running.start(version)
        self.zygotes[version] = zygote
        self.watch(zygote.channel, zygote.hear)
        self.watch(zygote.pidfd, lambda: self.ended(zygote))

    def ended(self, zygote: running.Zygote) -> None:
        """A zygote has ended: told to, or by itself, and then another is started after a while."""
        self.unwatch(zygote.pidfd)
        self.unwatch(zygote.channel)
        code = zygote.close()
        if self.zygotes.get(zygote.version) is not zygote:
            return
        del self.zygotes[zygote.version]
        times = self.failures.get(zygote.version, (0, 0.0))[0] + 1
        wait = min(300.0, 2.0 ** min(times, 10)) if not zygote.served else _LOOK
        self.failures[zygote.version] = (0 if zygote.served else times, time.monotonic() + wait)
        sys.stderr.write(f"{zygote.version.name}: {zygote.said or f'its zygote has ended ({code})'}\n")

    # Servers

    def accept(self) -> None:
        """Take a caller, and hear what it wants."""
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        uid = wire.peer(connection)
        if uid and self.waiting[uid] >= _AT_ONCE:
            connection.close()
            return
        self.callers[connection] = uid
        self.waiting[uid] += 1
        self.watch(connection, lambda: self.handle(connection))
        self.later(_PATIENCE, lambda: self.hang_up(connection))

    def hang_up(self, connection: socket.socket) -> None:
        """Leave a caller; what has been handed on is open elsewhere."""
        if connection.fileno() == -1:
            return
        self.unwatch(connection)
        uid = self.callers.pop(connection)
        self.waiting[uid] -= 1
        if not self.waiting[uid]:
            del self.waiting[uid]
        connection.close()

    def handle(self, connection: socket.socket) -> None:
        """Read the one word that is for the keeper; what a server says after it is for its kernel alone."""
        try:
            with suppress(OSError):  # it has left
                self.answer(connection, connection.recv(1000, socket.MSG_DONTWAIT))
        finally:
            self.hang_up(connection)

    def answer(self, connection: socket.socket, packet: bytes) -> None:
        """Do what a caller wants; `OSError` when it has left."""
        if self.callers[connection] == 0:
            told = {"ok": True, "zygotes": [zygote.describe() for zygote in self.zygotes.values()]}
            connection.send(json.dumps(told).encode(), socket.MSG_DONTWAIT)
        elif not (caller := caller_of(connection, self.site, self.hierarchy)) or not self.introduce(
            packet.decode(errors="replace"), caller, connection
        ):
            connection.send(terms.EXECUTE, socket.MSG_DONTWAIT)

    def introduce(self, name: str, caller: Caller, connection: socket.socket) -> bool:
        """Have the zygote of an environment fork for a caller; whether there is one."""
        version = running.current(self.site, name)
        zygote = self.zygotes.get(version) if version else None
        if zygote is None or not zygote.ready:
            return False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with theirs:
            try:
                views = caller.namespaces()
            except OSError:
                ours.close()
                return False
            asked = zygote.fork([theirs.fileno(), connection.fileno(), *views])
            for descriptor in views:
                os.close(descriptor)
        if not asked:
            ours.close()
            return False
        self.watch(ours, lambda: self.born(ours, caller, zygote))
        self.later(_HANGS, lambda: self.expire(ours, zygote))
        return True

    def born(self, pair: socket.socket, caller: Caller, zygote: running.Zygote) -> None:
        """Hear from a zygote's child, by Linux's word on who it is; make it the caller's."""
        self.unwatch(pair)
        with pair:
            packet, ancillary, _, _ = pair.recvmsg(16, socket.CMSG_SPACE(12), socket.MSG_DONTWAIT)
            sent = [data for level, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
            if packet and sent:
                place = caller.take_in(struct.unpack("3i", sent[0])[0])
                pair.send(json.dumps(place).encode(), socket.MSG_DONTWAIT)
                zygote.served = True

    def expire(self, pair: socket.socket, zygote: running.Zygote) -> None:
        """End a zygote that has not forked: it hangs, and the server has executed its kernel long ago."""
        if pair.fileno() != -1:
            self.unwatch(pair)
            pair.close()
            zygote.kill()


def main() -> None:
    """Keep zygotes until SIGTERM; the program behind `python -m hubwright.engines.local.zygotes.keeper`."""
    os.umask(0o077)
    launch.default_signals()
    try:
        site = site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))
        setproctitle("hubwright keeper of zygotes")
        launch.FILES.raise_limit()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        Keeper(site).serve()
    except HubwrightError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
