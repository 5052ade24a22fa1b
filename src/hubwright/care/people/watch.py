"""The part `roster`: applies the roster whenever it changes, and again while something of it could not be done.

Started by `up` as `python -I -m hubwright.care.people.watch`, with HUBWRIGHT_SITE naming the site's JSON file. A roster
with a mistake, or one that would take out a large part of all people, is told in the log and left alone.
"""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from pathlib import Path

from hubwright.care.people import apply as people
from hubwright.care.people.apply import Result
from hubwright.care.people.step import Plan
from hubwright.config.load import load
from hubwright.errors import HubwrightError, Refused, printable
from hubwright.fields import Site
from hubwright.machine import site_file

EVERY = 2.0
"""Seconds between looks at the file; it must be the same twice, so that nobody is caught saving it."""
AGAIN = 30.0
"""Seconds until what failed is tried again."""


def watch(site: Site) -> None:
    """Apply and look, for good."""
    seen, done, due = "", "", 0.0
    told = ""
    while True:
        loaded = load(site.config)
        now = _fingerprint(loaded.path, loaded.hub.people.roster)
        if now == seen and (now != done or time.monotonic() > due):
            try:
                again = _apply(site, quiet=now == done)
                problem = ""
            except HubwrightError as error:
                again, problem = True, str(error)
            if problem and problem != told:
                _say(problem)
            told, done = problem, now
            due = time.monotonic() + AGAIN if again else float("inf")
        seen = now
        time.sleep(EVERY)


def _apply(site: Site, *, quiet: bool) -> bool:
    """Apply once; whether something is left to do."""
    loaded = load(site.config)
    waiting: list[str] = []

    def begin(found: Plan) -> None:
        if found.many:
            names = ", ".join(found.leaving)
            raise Refused(f"The roster would take out {names}.", remedy='If that is meant: "hubwright apply".')
        waiting.extend(str(problem) for problem in found.problems)
        for words in () if quiet else (*waiting, *found.notes):
            _say(words)

    def tell(result: Result) -> None:
        secret = result.step.what == "person"  # a one-time link is for its person's eyes
        more = result.error or ("" if secret else result.told)
        _say(f"{result.step.what} {result.step.name}: {result.step.text}" + f" ({more})" * bool(more))

    found, results = people.apply(loaded, site, begin, tell)
    return bool(found.problems or found.notes or any(result.error for result in results))


def _fingerprint(config: Path | None, roster: str | None) -> str:
    try:
        return sha256(((config or Path()).parent / (roster or "")).read_bytes()).hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _say(text: str) -> None:
    told = printable(text, "\n    ")
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {told}", flush=True)


if __name__ == "__main__":
    sys.stderr = sys.stdout
    watch(site_file.load(Path(os.environ["HUBWRIGHT_SITE"])))
