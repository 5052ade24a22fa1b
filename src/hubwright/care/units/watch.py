"""`UnitWatch`: the parts of an installed service, which systemd keeps running; what runs in an older form ends."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hubwright.care.part import Part
from hubwright.care.units.installed import unit_of
from hubwright.care.voice import Voice
from hubwright.care.watch import read_ledger
from hubwright.errors import MachineError
from hubwright.machine import systemd
from hubwright.machine.files import write_atomically
from hubwright.machine.process import Process

_LONG = 20.0
"""Seconds that a part runs before it counts as well again."""
_LOOP = 4


class UnitWatch:
    """Knows the process of each part, notes it in `ledger` as `Watch` does, and restarts units.

    It starts nothing that systemd does not start by itself, and a part that somebody has stopped stays so.
    `wakeup` is a descriptor that ends a wait when it can be read.
    """

    def __init__(self, ledger: Path, voice: Voice, *, wakeup: int) -> None:
        self._ledger = ledger
        self._voice = voice
        self._wakeup = wakeup
        self._noted = read_ledger(ledger)
        self._prints: dict[str, str] = {}
        self._running: dict[str, Process] = {}
        self._written = ""
        self._deaths: dict[str, int] = {}

    def start(self, parts: Sequence[Part]) -> list[str]:
        """Begin to watch `parts`; return the names of those that run with another fingerprint.

        To be called before systemd may start them. What cannot be known, since nobody noted how it was started,
        counts as older.
        """
        self._prints = {part.name: _fingerprint(part) for part in parts}
        self._look()
        return [
            name for name, process in self._running.items() if self._noted.get(name) != (process, self._prints[name])
        ]

    def renew(self, names: Sequence[str]) -> None:
        """Restart parts that run in an older form."""
        if names:
            self._voice.say(f"In an older form, and started anew: {', '.join(names)}.")
            systemd.systemctl("restart", "--no-block", *(unit_of(name) for name in names))
            for name in names:
                del self._running[name]
        self._note()

    def step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds, then look which processes the parts have now."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.poll(timeout * 1000)
        with suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        before = dict(self._running)
        with suppress(MachineError):  # a machine so busy that systemd does not answer: in a moment
            self._look()
        for name, process in before.items():
            if self._running.get(name) != process:
                self._mourn(name, process)
        self._note()

    def process(self, name: str) -> Process | None:
        """Return the process of a part; None while it is down."""
        return self._running.get(name)

    def restart(self, name: str, process: Process, why: str) -> None:
        """End `process` by SIGKILL, if it still is that part; systemd starts another."""
        if self._running.get(name) == process:
            self._voice.warn(f"{why} Starting it again.")
            process.signal(9)

    def _look(self) -> None:
        """Ask systemd for the processes of the parts, unless those that are known all live: it is not cheap to ask."""
        if self._prints.keys() == self._running.keys() and all(one.alive() for one in self._running.values()):
            return
        units = {unit_of(name): name for name in self._prints}
        running = {}
        for unit, properties in systemd.show(units, "MainPID").items():
            if process := Process.of(int(properties.get("MainPID", "0") or 0)):
                running[units[unit]] = process
        self._running = running

    def _mourn(self, name: str, process: Process) -> None:
        """Say once that a part does not come up; systemd has told each end of its own."""
        self._deaths[name] = self._deaths.get(name, 0) + 1 if process.age < _LONG else 1
        if self._deaths[name] == _LOOP:
            lines = "".join(f"\n  {line}" for line in systemd.journal(unit_of(name), 8))
            self._voice.warn(f"The {name} fails again and again. It wrote last:{lines}")

    def _note(self) -> None:
        entries = {
            name: {"pid": process.pid, "started": process.started, "fingerprint": self._prints[name]}
            for name, process in self._running.items()
        }
        if (text := json.dumps(entries)) == self._written:
            return
        try:
            write_atomically(self._ledger, text, 0o644, durable=False)
        except MachineError as error:
            if self._written:
                self._voice.warn(f"{error} Until then the next start of this service restarts more than it must.")
            self._written = ""
        else:
            self._written = text


def _fingerprint(part: Part) -> str:
    """Return what changes when the part, or its unit, does."""
    try:
        unit = (systemd.UNITS / unit_of(part.name)).read_bytes()
    except OSError:
        unit = b""
    return sha256(part.fingerprint.encode() + unit).hexdigest()[:16]
