"""How often Let's Encrypt may still be asked: it answers nobody who was wrong too often, or had enough certificates.

Source: https://letsencrypt.org/docs/rate-limits/ (authorization failures per identifier per account; new certificates
per exact set of identifiers, here one name each). A limit is a number of requests; one more comes back every so often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hubwright.errors import Problem
from hubwright.proxy.https import acme_log
from hubwright.proxy.serving import host_of

HOST = "acme-v02.api.letsencrypt.org"
"""Its directory for tests has another, and limits that nobody reaches."""
_LOST, _GIVEN = "challenge failed", ("certificate obtained successfully", "certificate renewed successfully")


@dataclass(frozen=True)
class Limit:
    """So many at once, and one more each `every`."""

    most: int
    every: timedelta
    takes: int
    """How many one request may use up."""

    def wait(self, times: Sequence[datetime], now: datetime) -> timedelta:
        """Return how long to wait before another request, after those at `times`."""
        left, last = float(self.most), now
        for number, time in enumerate(sorted(times)):
            if number:
                left = min(self.most, left + (time - last) / self.every)
            left, last = max(0.0, left - 1), time
        left = min(self.most, left + (now - last) / self.every)
        return max(timedelta(), (self.takes - left) * self.every)


FAILURES = Limit(5, timedelta(minutes=12), 2)  # Caddy tries two ways, one after the other, and each may fail
DUPLICATES = Limit(5, timedelta(hours=34), 1)


def too_soon(names: Iterable[str], log: Path, now: datetime) -> list[Problem]:
    """Return for which names Let's Encrypt would refuse a request now, and when it would not."""
    lost, given = _counted(log)
    found = []
    for name in names:
        for times, limit, what, remedy in (
            (lost.get(name, []), FAILURES, "could not reach this machine by {} {} times", _MEND),
            (given.get(name, []), DUPLICATES, "has given {} {} certificates", _KEEP),
        ):
            if wait := limit.wait(times, now):
                until = (now + wait + timedelta(minutes=1)).astimezone()
                told = f"Let's Encrypt {what.format(name, len(times))} lately, and answers no more before"
                found.append(Problem("hub.yaml https", f"{told} {until:%H:%M on %-d %B}.", remedy))
    return found


_TESTS = (
    "try out what you change with its `directory` for tests, https://acme-staging-v02.api.letsencrypt.org/directory"
)
_MEND = f"Mend the name, or ports 80 and 443, and start then; until then {_TESTS}."
_KEEP = f"Put back the folder acme of the state folder, which holds the last one, or wait; {_TESTS}."


def _counted(log: Path) -> tuple[dict[str, list[datetime]], dict[str, list[datetime]]]:
    """Return when a check by Let's Encrypt failed, and when it gave a certificate, by name."""
    lost: dict[str, list[datetime]] = {}
    given: dict[str, list[datetime]] = {}
    asked: dict[str, str] = {}
    for time, entry in acme_log.entries(log):
        name, said = str(entry.get("identifier")), entry.get("msg")
        if authority := entry.get("ca"):
            asked[name] = host_of(str(authority))
        if said == _LOST and asked.get(name) == HOST:
            lost.setdefault(name, []).append(time)
        elif said in _GIVEN and str(entry.get("issuer")).startswith(HOST):
            given.setdefault(name, []).append(time)
    return lost, given
