"""`Watch` keeps parts running: adopts what already runs, starts what does not, restarts what dies, stops it all."""

from __future__ import annotations

import json
import os
import select
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hubwright.care.log import last_lines
from hubwright.care.part import Part, tell_exit
from hubwright.care.voice import Voice
from hubwright.errors import MachineError, printable
from hubwright.machine.files import write_atomically
from hubwright.machine.process import Process


@dataclass(frozen=True)
class BackOff:
    """How long to wait before a part that died is started again."""

    first: float = 0.1
    longest: float = 10.0
    steady: float = 10.0
    """Seconds after which a part counts as well again."""
    loop: int = 4
    """Deaths in a row that make a crash loop."""

    def delay(self, failures: int) -> float:
        """Seconds to wait after the death number `failures` in a row, counted from 1."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


@dataclass
class _Kept:
    part: Part
    process: Process | None = None
    pidfd: int = -1
    child: subprocess.Popen[bytes] | None = None
    began: float = 0
    failures: int = 0
    due: float = 0
    why: str = ""
    """Why it is being ended, when that is known."""


class Watch:
    """Parts that are kept running by `step`, which its owner calls over and over.

    `ledger` is where pid and start time of every part are noted, so that another `Watch`, after this one was
    killed, finds them. `wakeup` is a descriptor that ends a wait when it can be read. With `reap` the ended
    children that are no parts (orphans of the parts; see PR_SET_CHILD_SUBREAPER) are waited for as well. A ledger that
    cannot be written, as on a full disk, is told once and tried again at every step.
    """

    def __init__(
        self, ledger: Path, voice: Voice, *, back_off: BackOff | None = None, wakeup: int = -1, reap: bool = False
    ) -> None:
        self._ledger = ledger
        self._voice = voice
        self._back_off = back_off or BackOff()
        self._wakeup = wakeup
        self._reap = reap
        self._kept: dict[str, _Kept] = {}
        self._noted = read_ledger(ledger)
        self._behind = False
        """Whether the ledger could not be written since something changed."""

    def start(self, parts: Sequence[Part]) -> list[str]:
        """Adopt every part that runs with the same fingerprint, start the others; return the names of the adopted.

        One that runs with another fingerprint is stopped first, and so is a noted one that is no longer wanted.
        """
        wanted = {part.name: part for part in parts}
        for name, (process, fingerprint) in self._noted.items():
            if process.alive() and (name not in wanted or wanted[name].fingerprint != fingerprint):
                grace = wanted[name].grace if name in wanted else 10
                self._voice.say(f"The {name} runs in an older form: starting it anew.")
                process.stop(grace)
        adopted = []
        for part in parts:
            kept = self._kept[part.name] = _Kept(part)
            noted = self._noted.get(part.name)
            if noted is not None and noted[1] == part.fingerprint and noted[0].alive():
                adopted.append(part.name)
                self._take(kept, noted[0])
            else:
                self._spawn(kept)
        self._note()
        return adopted

    def step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for news, then start again what died and is due."""
        now = time.monotonic()
        waits = [timeout, *(kept.due - now for kept in self._kept.values() if kept.process is None)]
        poll = select.poll()
        for kept in self._kept.values():
            if kept.pidfd >= 0:
                poll.register(kept.pidfd, select.POLLIN)
        if self._wakeup >= 0:
            poll.register(self._wakeup, select.POLLIN)
        poll.poll(max(0.0, min(waits)) * 1000)
        if self._wakeup >= 0:
            with suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
        if self._reap:
            self.reap()
        changed = False
        for kept in self._kept.values():
            if kept.process is not None and self._has_ended(kept):
                self._mourn(kept)
                changed = True
            if kept.process is None and kept.due <= time.monotonic():
                self._spawn(kept)
                changed = True
        if changed or self._behind:
            self._note()

    def until(self, condition: Callable[[], bool], timeout: float, *, interval: float = 0.05) -> bool:
        """Step until `condition` holds or `timeout` seconds are over; whether it held."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= end:
                return False
            self.step(min(interval, end - time.monotonic()))
        return True

    def process(self, name: str) -> Process | None:
        """Return the process of a part; None while it is down or when there is no such part."""
        kept = self._kept.get(name)
        return kept.process if kept is not None else None

    def restart(self, name: str, process: Process, why: str) -> None:
        """End `process`, if it still is that part, by SIGKILL; the next `step` starts another and tells `why`.

        What hangs would not hear anything gentler, and every part can be killed at any moment.
        """
        kept = self._kept.get(name)
        if kept is not None and kept.process == process:
            kept.why = why
            process.signal(9)

    def looping(self, name: str) -> bool:
        """Whether a part has died so often in a row that waiting is of little use."""
        return name in self._kept and self._kept[name].failures >= self._back_off.loop

    def stop(self, name: str, *, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Stop a part and no longer keep it: SIGTERM, its grace (cut short by `hurry`), SIGKILL; whether it ended."""
        kept = self._kept.pop(name, None)
        if kept is None or kept.process is None:
            return True
        process = kept.process
        end = time.monotonic() + kept.part.grace
        process.signal(15)
        while not process.wait(0.1) and time.monotonic() < end and not hurry():
            continue
        ended = process.wait(0) or process.stop(0)
        self._release(kept)
        self._note()
        return ended

    def forget(self) -> None:
        """Keep nothing any more; what runs goes on running and stays in the ledger."""
        for kept in self._kept.values():
            if kept.child is not None:
                kept.child.returncode = 0  # not waited for: it outlives us
            self._release(kept)
        self._kept.clear()

    def reap(self) -> None:
        """Wait for every child that has ended, orphans that were given to us included."""
        own = {kept.child.pid: kept.child for kept in self._kept.values() if kept.child is not None}
        with suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in own:
                    own[ended.si_pid].poll()
                else:
                    os.waitpid(ended.si_pid, os.WNOHANG)

    def _spawn(self, kept: _Kept) -> None:
        try:
            kept.child = kept.part.spawn()
        except MachineError as error:
            self._fail(kept, str(error))
            return
        process = Process.of(kept.child.pid)
        if process is None:  # it ended at once
            kept.began = time.monotonic()
            self._has_ended(kept)
            self._mourn(kept)
            return
        self._take(kept, process)

    def _take(self, kept: _Kept, process: Process) -> None:
        kept.process, kept.began = process, time.monotonic()
        with suppress(ProcessLookupError):
            kept.pidfd = os.pidfd_open(process.pid)

    def _has_ended(self, kept: _Kept) -> bool:
        if kept.child is not None:
            return kept.child.poll() is not None
        return kept.process is None or not kept.process.alive()

    def _mourn(self, kept: _Kept) -> None:
        code = kept.child.returncode if kept.child is not None else None
        what, kept.why = kept.why or f"The {kept.part.name} {tell_exit(code)}.", ""
        self._release(kept)
        self._fail(kept, what)

    def _fail(self, kept: _Kept, what: str) -> None:
        now = time.monotonic()
        if kept.began and now - kept.began >= self._back_off.steady:
            kept.failures = 0
        kept.failures += 1
        delay = self._back_off.delay(kept.failures)
        kept.due = now + delay
        if kept.failures == self._back_off.loop:
            lines = "\n".join(f"  {printable(line)}" for line in last_lines(kept.part.log, 8))
            self._voice.warn(
                f"{what} It has failed {kept.failures} times in a row and is tried again every "
                f"{self._back_off.longest:g} s at most. Its log, {kept.part.log}, ends:\n{lines}"
            )
        elif kept.failures < self._back_off.loop:
            self._voice.warn(f"{what} Starting it again.")

    def _release(self, kept: _Kept) -> None:
        if kept.child is not None:
            kept.child.poll()
        if kept.pidfd >= 0:
            os.close(kept.pidfd)
        kept.process, kept.child, kept.pidfd = None, None, -1

    def _note(self) -> None:
        entries = {
            name: {"pid": kept.process.pid, "started": kept.process.started, "fingerprint": kept.part.fingerprint}
            for name, kept in self._kept.items()
            if kept.process is not None
        }
        try:
            write_atomically(self._ledger, json.dumps(entries), 0o644, durable=False)
        except MachineError as error:
            if not self._behind:
                self._voice.warn(f"{error} Until then a new start of this service would not find what runs.")
            self._behind = True
        else:
            self._behind = False


def read_ledger(path: Path) -> dict[str, tuple[Process, str]]:
    """Return process and fingerprint of every part noted in `path`; nothing when there is no usable ledger.

    One that the hub's account put there is not usable: what it names would be adopted, and ended, as root.
    """
    try:
        if (kept := path.lstat()).st_uid != path.parent.stat().st_uid or not stat.S_ISREG(kept.st_mode):
            return {}
        found = json.loads(path.read_bytes())
        return {
            str(name): (Process(int(entry["pid"]), int(entry["started"])), str(entry["fingerprint"]))
            for name, entry in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
