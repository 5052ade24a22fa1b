"""`Renewal`: gives Caddy its certificate, and each newer one while it runs; websockets stay open."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.errors import ConfigError, HubwrightError, Problem
from hubwright.fields import Site
from hubwright.machine.process import Process
from hubwright.proxy.https import https_of

if TYPE_CHECKING:
    from hubwright.proxy.https.certificate import Pair

_DAY = 86400.0
_PATIENCE = 30.0
"""Seconds for which two files may contradict each other: whoever renews them writes one after the other."""


class Renewal:
    """Looks after the certificate of a service: `begin` once, `step` every few seconds.

    Caddy reads its unchanged configuration, and so the file with the certificate, again when it gets SIGUSR1; one that
    it cannot use leaves it as it was. What is not a certificate with its key never comes so far.
    """

    def __init__(self, loaded: Loaded, voice: Voice) -> None:
        self._loaded = loaded
        self._voice = voice
        self._kind = https_of(loaded.hub.https)
        self._site: Site | None = None
        self._seen: list[object] = []
        self._due = 0.0
        self._wrong_since = 0.0
        self._told = ""
        self._refused = ""
        """What the authority answered last, as it was told."""
        self._read: object = None
        """The log of what it answers, as it was when it was read last."""
        self._found: Problem | None = None
        self._since = datetime.now(UTC)
        self._given: float | None = None
        """When the file was written that Caddy may not have read yet, in clock ticks since boot."""

    def begin(self, site: Site) -> None:
        """Put the certificate where Caddy reads it; `HubwrightError` when there is none that can be used."""
        self._site = site
        self._since = datetime.now(UTC).replace(microsecond=0)
        self._seen = self._look()
        self._renew(self._kind.pair(self._loaded.hub.https, site))
        self._due = time.monotonic() + _DAY
        self._warn()
        if authority := self._kind.serving(self._loaded.hub.https, site).authority:
            self._voice.say(f"Browsers trust this service once they know its authority: {authority}")

    def ask(self) -> None:
        """While a start waits: raise `ConfigError` with the answer of an authority that gives no certificate."""
        if (problem := self._refusal()) and problem.severity == "error":
            raise ConfigError([self._loaded.place(problem)])

    def step(self, caddy: Process | None) -> None:
        """Take a newer certificate when there is one, and tell once a day when the one in use ends soon."""
        if self._site is None:
            return
        self._refusal()
        seen = self._look()
        if seen != self._seen or time.monotonic() >= self._due:
            self._due = time.monotonic() + _DAY
            try:
                fresh = self._renew(self._kind.pair(self._loaded.hub.https, self._site))
            except HubwrightError as error:
                self._fail(error, seen)
                return
            self._wrong_since, self._told, self._seen = 0.0, "", seen
            self._warn()
            if fresh:
                self._voice.say("Took the new certificate.")
        if self._given is not None and caddy is not None and caddy.alive():
            if caddy.started <= self._given:  # a later one has read it
                caddy.signal(signal.SIGUSR1)
            self._given = None

    def _refusal(self) -> Problem | None:
        """Return what an authority answered last that gave no certificate; told when it is new."""
        if self._site is None or not self._kind.serving(self._loaded.hub.https, self._site).acme:
            return None
        from hubwright.proxy.https.acme_log import path_of
        from hubwright.proxy.https.refusal import refusal

        log = path_of(self._site)
        if (seen := _state(log)) != self._read:
            self._read, self._found = seen, refusal(log, self._since)
        if self._found and str(self._found) != self._refused:
            self._refused = str(self._found)
            self._voice.warn(str(self._loaded.place(self._found)))
        return self._found

    def _renew(self, pair: Pair | None) -> bool:
        """Give Caddy a certificate; whether it is another than before."""
        if self._site is None:
            return False
        if pair is None:
            self._site.certificate.unlink(missing_ok=True)
            return False
        from hubwright.proxy.https.certificate import deploy, deployed

        if deployed(self._site) == pair:
            return False
        deploy(pair, self._site)
        self._given = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
        return True

    def _warn(self) -> None:
        """Tell what is worth a look, an end that is near among it."""
        if self._site is not None:
            for problem in self._kind.check(self._loaded.hub.https, self._site):
                if problem.severity == "warning":
                    self._voice.warn(str(self._loaded.place(problem)))

    def _fail(self, error: HubwrightError, seen: list[object]) -> None:
        """Tell why the new one is not taken, once, and when it stays so."""
        now = time.monotonic()
        self._wrong_since = self._wrong_since or now
        if now - self._wrong_since < _PATIENCE:
            self._due = now
            return
        self._seen, self._wrong_since = seen, 0.0
        problems = error.problems if isinstance(error, ConfigError) else (error.problem,)
        words = " ".join(str(self._loaded.place(problem)) for problem in problems)
        if words != self._told:
            self._told = words
            self._voice.warn(f"The new certificate is not taken; the one before stays. {words}")

    def _look(self) -> list[object]:
        """Return what changes when one of the files does, be it that a link leads to another."""
        if self._site is None:
            return []
        return [_state(path) for path in self._kind.watched(self._loaded.hub.https, self._site)]


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_mtime_ns, found.st_size
