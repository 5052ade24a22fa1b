"""The account helper's parent: accepts callers, forks for each, counts what is tried, ends who is late.

It never reads a request, so that no password is in the memory that the next child inherits. A child asks it over a pair
of sockets, one word and a name, before it does what is counted. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubwright.machine import wire
from hubwright.machine.attempts import Attempts

TRIES = 30
"""For one name, as for the hub from all addresses together: with less, one that guesses would keep a person out."""
MADE = 60
WINDOW = 60.0
CHILDREN = 32
"""Requests at work at once; more wait in the socket's backlog."""
RESTING = 256
"""Failures that may wait for the time that each takes, besides: who logs in meanwhile does not wait behind them."""
DEADLINE = 30.0
"""Seconds a request may take before its child is killed; useradd on a busy machine is the slowest."""
HOME_TAKES = 600.0
"""Seconds that counting one home, or handing contents out to it, may take."""
HOMES = 8
"""Homes that get contents at once; logins need children, too."""
ARRIVAL = 5.0
"""Seconds a request may take to arrive, and its answer to go."""
TRY, WORKED, REST, MAKE, COUNT, HAND = b"?", b"+", b"-", b"*", b"#", b"="
"""A child's words: may this name's password be tried, it was right, or it was wrong; may an account be made; may this
home be counted, or get contents."""
Answer = Callable[[socket.socket, socket.socket], dict[str, Any]]
"""What a child does: with the caller's connection, and its line to the parent."""


@dataclass
class _Child:
    pid: int
    line: socket.socket
    """Where the child asks, and tells how it went."""
    ends: float
    trying: list[str] = field(default_factory=list)
    counting: str = ""
    """Whose home's disk it counts, which takes longer than anything else."""
    resting: bool = False
    """Whether nothing is left to do but to wait before a failure is told."""
    handing: str = ""
    """To whose home it hands contents out."""


def ask(line: socket.socket, word: bytes, name: str = "") -> int:
    """In a child: ask the parent; return 0 when it may be, else the seconds to wait."""
    tell(line, word, name)
    return int(line.recv(16) or b"1")


def tell(line: socket.socket, word: bytes, name: str) -> None:
    """In a child: let the parent know."""
    line.send(word + name.encode())


class Parent:
    """Accepts, forks, counts failures, ends children that are late."""

    def __init__(self, path: Path, account: str, answer: Answer) -> None:
        """Listen at `path` for root and `account`."""
        entry = pwd.getpwnam(account)
        self._answer = answer
        self._callers = {0, entry.pw_uid}
        self._listener = wire.listen(path, 0o660, entry.pw_gid)
        self._listener.setblocking(False)
        self._children: dict[int, _Child] = {}
        self._left: dict[int, str] = {}
        """Children that are not reaped yet, by process id, and with whose home they were late. One that waits for
        a dead file system survives SIGKILL; nobody waits for it, and nothing else is done with that home meanwhile."""
        self._names = Attempts(TRIES, WINDOW)
        self._made = Attempts(MADE, WINDOW)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the process is told to end."""
        while True:
            self._listen(self._at_work() < CHILDREN)
            for key, _ in self._selector.select(timeout=1.0):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._hear(self._children[key.fd])
            now = time.monotonic()
            for child in [late for late in self._children.values() if late.ends < now]:
                os.kill(child.pid, signal.SIGKILL)
                self._bury(child, late=True)
            self._reap()

    def _at_work(self) -> int:
        resting = sum(child.resting for child in self._children.values())
        return len(self._children) - min(resting, RESTING)

    def _listen(self, wanted: bool) -> None:
        listening = self._listener in {key.fileobj for key in self._selector.get_map().values()}
        if wanted and not listening:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif listening and not wanted:
            self._selector.unregister(self._listener)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            if wire.peer(connection) not in self._callers:
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._be_child(connection, theirs)
            theirs.close()
            ours.setblocking(False)
            self._children[ours.fileno()] = _Child(pid, ours, time.monotonic() + DEADLINE)
            self._selector.register(ours, selectors.EVENT_READ)

    def _hear(self, child: _Child) -> None:
        try:
            word = child.line.recv(256)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if not word:
            self._bury(child)
            return
        name = word[1:].decode()
        if word[:1] == WORKED:
            if name in child.trying:
                child.trying.remove(name)
                self._names.clear(name)
            return
        if word[:1] == REST:
            child.resting = True
            return
        decide = {TRY: self._may_try, MAKE: self._may_make, COUNT: self._may_count, HAND: self._may_hand}.get(word[:1])
        if decide:
            with contextlib.suppress(OSError):
                child.line.send(str(decide(child, name)).encode())

    def _may_try(self, child: _Child, name: str) -> int:
        """Count before the answer is known, so that many at once cannot try more often than one after another.

        Counted is by name only: with a limit for all names together, some addresses could keep everybody out.
        """
        if not (wait := self._names.wait(name)):
            self._names.add(name)
            child.trying.append(name)
        return wait

    def _may_make(self, child: _Child, name: str) -> int:
        if not (wait := self._made.wait("")):
            self._made.add("")
        return wait

    def _may_count(self, child: _Child, name: str) -> int:
        self._reap()
        if any(other.counting for other in self._children.values()) or name in self._left.values():
            return 1
        child.counting, child.ends = name, time.monotonic() + HOME_TAKES + DEADLINE
        return 0

    def _may_hand(self, child: _Child, name: str) -> int:
        self._reap()
        homes = [other.handing for other in self._children.values() if other.handing]
        if len(homes) >= HOMES or name in (*homes, *self._left.values()):
            return 1
        child.handing, child.ends = name, time.monotonic() + HOME_TAKES + DEADLINE
        return 0

    def _bury(self, child: _Child, *, late: bool = False) -> None:
        self._selector.unregister(child.line)
        del self._children[child.line.fileno()]
        child.line.close()
        self._left[child.pid] = (child.counting or child.handing) if late else ""

    def _reap(self) -> None:
        for pid in list(self._left):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] != 0
            except ChildProcessError:
                ended = True
            if ended:
                del self._left[pid]

    def _be_child(self, connection: socket.socket, line: socket.socket) -> None:
        """Answer one request and end; never returns."""
        code = 1
        try:
            self._listener.close()
            for other in self._children.values():
                other.line.close()
            signal.alarm(int(DEADLINE))
            answer = self._answer(connection, line)
            connection.settimeout(ARRIVAL)
            connection.sendall(wire.encode(answer))
            code = 0
        except OSError:
            pass  # the caller has left
        except Exception:
            traceback.print_exc()  # without values; the caller sees the connection close
        finally:
            sys.stderr.flush()
            os._exit(code)
