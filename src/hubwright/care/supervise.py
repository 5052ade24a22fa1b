"""The supervisor behind `hubwright up`: starts the parts, watches them, and stops what it started."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hubwright.care import ground
from hubwright.care.listeners import open_listeners
from hubwright.care.log import bound, last_lines
from hubwright.care.part import Part
from hubwright.care.patience import Patience
from hubwright.care.pulse import Pulse
from hubwright.care.signals import Requests, adopt_orphans
from hubwright.care.voice import Voice
from hubwright.care.watch import Watch, read_ledger
from hubwright.errors import HubwrightError, NotRunning
from hubwright.fields import Site
from hubwright.machine import keyring, wire
from hubwright.machine.process import Process

FORK_SERVER, ACCOUNT_HELPER, CADDY, HUB = "fork-server", "account-helper", "caddy", "hub"
METRICS, ROSTER, ZYGOTES = "metrics", "roster", "zygotes"
NOTEBOOKS = "notebooks"
LEDGER = "parts.json"
_QUIET = 2.0
"""Seconds after which a wait is told."""
_GRACE = 5.0
"""Seconds that notebooks get to end when everything is stopped."""
_MAY_STILL_RUN = "The fork server does not answer: notebooks may still run. See them with ps."


@dataclass(frozen=True)
class Notebooks:
    """Notebook servers that do not hang on the fork server. Both functions block, and raise `HubwrightError`."""

    count: Callable[[Site], int]
    """How many run."""
    end: Callable[[Site, float], int]
    """Ends all, with so many seconds of grace; how many could not be."""


@dataclass(frozen=True)
class Service:
    """What is supervised; the real one is made by `service.compose`."""

    parts: Callable[[Site], Sequence[Part]]
    """Called once, when both sockets are bound."""
    answers: Callable[[Site], bool]
    """Whether a browser would see the login page now."""
    opened: Callable[[Site], None]
    """Called once, when it answers."""
    notebooks: Notebooks | None = None
    """None when the fork server makes them."""
    redirect: tuple[str, int] | None = None
    """Where plain HTTP is listened for besides."""
    clear: Callable[[Site], None] = lambda site: None
    """Called when all is stopped, the notebooks too: ends and removes what is left of them. Never raises."""
    ask: Callable[[], None] = lambda: None
    """Called while a start waits for its page; raises `HubwrightError` when waiting is of no use."""
    tend: Callable[[Process | None], None] = lambda caddy: None
    """Called every few seconds while it runs, with Caddy's process; renews certificates. Never raises."""


def up(site: Site, service: Service, voice: Voice, *, keep: bool = False) -> None:
    """Run the service until it is asked to stop by SIGINT, SIGTERM or SIGHUP; a second request hastens.

    `keep` leaves the notebooks, and the fork server, running. What an earlier, killed `up` left running is adopted.
    `Refused` when another `up` runs this service, `MachineError` when the machine lacks something, `NotRunning`
    when a part does not come up; what was started is stopped before any of these is raised.
    """
    keyring.join_new()  # nobody's notebook may use the keys of whoever starts this
    ground.check_environment(site)
    ground.make_folders(site)
    held = ground.lock(site)
    try:
        ground.make_secrets(site)
        noted = read_ledger(site.run / LEDGER)
        caddy = noted[CADDY][0] if CADDY in noted else None
        listeners = open_listeners(site, caddy, service.redirect)
        try:
            with Requests.listen() as requests:
                adopt_orphans()
                watch = Watch(site.run / LEDGER, voice, wakeup=requests.wakeup, reap=True)
                _run(_Run(site, service, voice, requests, watch), keep)
        finally:
            listeners.close()
    finally:
        os.close(held)


@dataclass
class _Run:
    site: Site
    service: Service
    voice: Voice
    requests: Requests
    watch: Watch


def _run(run: _Run, keep: bool) -> None:
    parts = run.service.parts(run.site)
    adopted: list[str] = []
    try:
        adopted = run.watch.start(parts)
        if adopted:
            run.voice.say(f"Found running, and adopted: {', '.join(adopted)}.")
        _await_start(run, parts)
    except HubwrightError:
        _stop(run, keep=keep or FORK_SERVER in adopted or run.service.notebooks is not None)
        raise
    if not run.requests.stops:
        run.service.opened(run.site)
    pulse = Pulse(parts, run.watch.process)
    pulse.start()
    checked = time.monotonic()
    while not run.requests.stops:
        run.watch.step(5)
        for name, process in pulse.silent().items():
            run.watch.restart(name, process, f"The {name} runs but has gone silent.")
        if time.monotonic() - checked >= 4:
            checked = time.monotonic()
            run.service.tend(run.watch.process(CADDY))
            with suppress(HubwrightError):  # a full disk: tried again in a moment
                bound(ground.log_folders(run.site))
    pulse.end()
    _stop(run, keep=keep)


def _await_start(run: _Run, parts: Sequence[Part]) -> None:
    """Wait until every part is ready and the page answers, or until somebody stops it; at most as long as they work."""
    patience = Patience()
    vital = [part for part in parts if part.vital]
    pending = list(vital)
    stuck: list[Part] = []

    def done() -> bool:
        run.service.ask()
        pending[:] = [part for part in pending if not part.ready()]
        stuck[:] = [part for part in vital if run.watch.looping(part.name)]
        if patience.waited > _QUIET:
            names = ", ".join(part.name for part in pending) or "login page"
            run.voice.wait(f"Waiting for {names} ({patience.waited:.0f} s)")
        return bool(run.requests.stops or stuck or (not pending and run.service.answers(run.site)))

    while not (finished := done()) and not patience.over(_spent(run, vital)):
        run.watch.step(0.05)
    run.voice.wait("")
    if run.requests.stops or (finished and not stuck):
        return
    before_the_page = [part for part in vital if part.name == CADDY]
    failed = [*stuck, *pending, *before_the_page, vital[-1]][0]
    why = "fails again and again" if stuck else f"was not ready after {patience.waited:.0f} s"
    lines = "".join(f"\n  {line}" for line in last_lines(failed.log, 12))
    raise NotRunning(f"The {failed.name} {why}. Its log, {failed.log}, ends:{lines}")


def _spent(run: _Run, parts: Sequence[Part]) -> float:
    """Return the seconds of processor time that parts have taken."""
    return sum(process.spent for part in parts if (process := run.watch.process(part.name)) is not None)


def _stop(run: _Run, *, keep: bool) -> None:
    """Hub first, then the notebooks, then the rest; with `keep` notebooks and fork server stay."""
    run.voice.say("Stopping; the notebooks stay." if keep else "Stopping.")
    late = []
    for name in (
        HUB,
        METRICS,
        ROSTER,
        ZYGOTES,
        *(() if keep else (NOTEBOOKS,)),
        ACCOUNT_HELPER,
        CADDY,
        *(() if keep else (FORK_SERVER,)),
    ):
        if name == NOTEBOOKS and run.service.notebooks:
            _end_notebooks(run, run.service.notebooks)
        elif name == NOTEBOOKS:
            _stop_notebooks(run)
        elif not run.watch.stop(name, hurry=run.requests.hurry):
            late.append(name)
    run.watch.forget()
    if not keep:
        run.service.clear(run.site)
    run.watch.reap()
    if late:
        run.voice.warn(f"Could not be stopped: {', '.join(late)}.")


def _stop_notebooks(run: _Run) -> None:
    """Have the fork server end every notebook; it has a few seconds more than their grace, and again when some ended.

    With many to end on a busy machine it may not answer for a while: that does not mean that none is left.
    """
    path = run.site.fork_socket

    def running() -> int | None:
        try:
            return len(wire.call(path, {"op": "list"}, timeout=2).get("servers", ()))
        except NotRunning:
            return None

    if not any(run.site.servers.glob("*/server.json")):  # the fork server's records
        return
    run.watch.until(lambda: running() is not None or run.watch.looping(FORK_SERVER), 10)  # it may be down just now
    if (count := running()) is None:
        run.voice.warn(_MAY_STILL_RUN)
        return
    if not count:
        return
    run.voice.wait(f"Stopping {count} notebook server{'s' if count > 1 else ''}")
    least, end = count, time.monotonic() + _GRACE + 5
    hurried = False
    with suppress(NotRunning), _stop_all(path, _GRACE):
        while (now := running()) != 0 and time.monotonic() < end:
            if now is not None and now < least:
                least, end = now, time.monotonic() + _GRACE + 5
            run.watch.step(0.1)
            if run.requests.hurry() and not hurried:
                hurried = True
                wire.call(path, {"op": "stop_all", "grace": 0}, timeout=5)
    run.voice.wait("")
    if (left := running()) is None:
        run.voice.warn(_MAY_STILL_RUN)
    elif left:
        run.voice.warn(f"{left} of the notebook servers could not be stopped.")


def _end_notebooks(run: _Run, notebooks: Notebooks) -> None:
    """End every notebook server that others run for us."""
    try:
        if count := notebooks.count(run.site):
            run.voice.wait(f"Stopping {count} notebook server{'s' if count > 1 else ''}")
        left = notebooks.end(run.site, _GRACE)
    except HubwrightError as error:
        run.voice.warn(f"Notebooks may still run. {error}")
        return
    finally:
        run.voice.wait("")
    if left:
        run.voice.warn(f"{left} of the notebook servers could not be stopped.")


def _stop_all(path: os.PathLike[str], grace: float) -> socket.socket:
    """Ask for the end of every notebook; the answer, which comes when the last has ended, is not waited for."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    try:
        connection.connect(os.fspath(path))
        connection.sendall(wire.encode({"op": "stop_all", "grace": grace}))
    except OSError as error:
        connection.close()
        raise NotRunning(f"The fork server does not answer: {error.strerror}.") from error
    return connection
