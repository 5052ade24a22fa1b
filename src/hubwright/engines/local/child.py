"""A child between its fork and its server, as the fork server has it; `starting` is what the child does meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable

from hubwright.engines.local import starting
from hubwright.engines.local.servers import Server, Servers
from hubwright.errors import MachineError
from hubwright.machine import cgroups
from hubwright.machine.process import Process

_SETUP = 20.0
"""Seconds a child has for becoming a user's server."""


class Starting:
    """The fork server's end of their pair."""

    def __init__(self, loop: Servers, pid: int, channel: socket.socket, done: Callable[[], None]) -> None:
        """Hear of a child; `done` is called when it has become a server, or has ended without."""
        self.loop = loop
        self.done = done
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
        new.gpus = tuple(words["gpus"])
        why = self.loop.taken(new, words["most"]) or self.loop.share(new)
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
        self.done()
        self.channel.send(b"go")

    def ended(self) -> None:
        """The child ended before it became a server; it has told its caller why."""
        self.loop.unwatch(self.pidfd)
        os.close(self.pidfd)
        self.settled = True
        self.done()
        self.loop.reap(self.pid, True, lambda _code: None)

    def expire(self) -> None:
        """End a child that never said what it will be."""
        if not self.settled:
            os.kill(self.pid, signal.SIGKILL)
