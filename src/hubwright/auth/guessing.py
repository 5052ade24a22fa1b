"""Slowing down whoever guesses passwords: counted by name and address together, and by each alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from hubwright.machine.attempts import Attempts


class Guessing:
    """Five failures a minute for one name from one address; thirty for one name, and thirty from one address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._here = Attempts(5, 60, clock)
        """By name and address: a person who guesses."""
        self._anywhere = Attempts(30, 60, clock)
        """By name, and by address: many who guess, and one who tries many names."""

    def refusal(self, name: str, address: str) -> str:
        """Return why this must wait, or "": then it counts as a failure until `right` says otherwise.

        It is counted before the answer is known, so that many at once are not more than one by one.
        """
        keys = self._keys(name, address)
        if wait := max(attempts.wait(key) for attempts, key in keys):
            return f"Too many failed attempts. Try again in {wait} seconds."
        for attempts, key in keys:
            attempts.add(key)
        return ""

    def right(self, name: str, address: str) -> None:
        """Take back what `refusal` counted: the password was right."""
        self._here.clear((name, address))
        for attempts, key in self._keys(name, address)[1:]:
            attempts.forgive(key)

    def unclear(self, name: str, address: str) -> None:
        """Take back one count: nobody could say whether the password was right."""
        for attempts, key in self._keys(name, address):
            attempts.forgive(key)

    def _keys(self, name: str, address: str) -> list[tuple[Attempts, Hashable]]:
        return [(self._here, (name, address)), (self._anywhere, ("name", name)), (self._anywhere, ("at", address))]
