"""The fork server's loop: a selector, timers, and callers that are never waited for, in one thread."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import sys
import time
import traceback
from collections.abc import Callable

from hubwright.errors import HubwrightError
from hubwright.machine import wire

PATIENCE = 5.0
"""Seconds a caller has for sending its request, and for taking its answer."""
_CALLERS_FAULT = (HubwrightError, OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What nonsense from a caller, or a process that ends in mid-word, may raise; it ends that caller, never the loop."""


class Loop:
    """Calls what is ready or due, one thing after the other."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()

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
        """Run until a signal ends this process."""
        while True:
            wait = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
            for key, _ in self.selector.select(wait):
                if key.fd in self.selector.get_map() and self.selector.get_key(key.fd).data is key.data:
                    self.guard(key.data, key.fileobj)
            while self.timers and self.timers[0][0] <= time.monotonic():
                self.guard(heapq.heappop(self.timers)[2], None)

    def guard(self, action: Callable[[], None], file: object) -> None:
        """Call `action`; what a caller did wrong is written down, and costs that caller its connection."""
        try:
            action()
        except _CALLERS_FAULT:
            sys.stderr.write(f"ignored:\n{traceback.format_exc(limit=-3)}")
            if not isinstance(file, socket.socket) or file.fileno() == -1:
                return
            if not file.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                self.unwatch(file)
                file.close()


class Connection:
    """A caller on the control socket; its request is read and answered without ever blocking."""

    def __init__(self, loop: Loop, caller: socket.socket, handle: Callable[[Connection], None]) -> None:
        self.loop = loop
        self.socket = caller
        self.socket.setblocking(False)
        self.handle = handle
        self.received = b""
        self.unsent = b""
        loop.watch(caller, self.read)
        loop.later(PATIENCE, lambda: None if self.received.endswith(b"\n") else self.close())

    @property
    def open(self) -> bool:
        """Whether the caller is still there, as far as is known."""
        return self.socket.fileno() != -1

    def read(self) -> None:
        """Take what has arrived; handle the request when it is whole, hang up when the caller has."""
        try:
            part = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part or len(self.received) > wire.LIMIT or self.received.endswith(b"\n"):
            self.close()
            return
        self.received += part
        if self.received.endswith(b"\n"):
            self.handle(self)

    def answer(self, message: dict[str, object]) -> None:
        """Send the one answer, however slowly the caller reads it, then close."""
        if not self.open:
            return
        self.unsent = wire.encode(message)
        self.loop.unwatch(self.socket)
        self.loop.watch(self.socket, self.write, selectors.EVENT_WRITE)
        self.loop.later(PATIENCE, self.close)

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
        if self.open:
            self.loop.unwatch(self.socket)
            self.socket.close()
