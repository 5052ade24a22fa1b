"""Slowing down whoever guesses passwords: counted by name and address together, and by each alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from ipaddress import IPv4Address, ip_address, ip_network

from hubwright.machine.attempts import Attempts

_HOST = 64
"""Bits of an IPv6 address that its machine chooses."""


class Guessing:
    """Five failures a minute for one name from one address; thirty for one name, and thirty from one address.

    The addresses of one IPv6 network, such as a line has, count as one.
    """

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
        at = _whose(address)
        return [(self._here, (name, at)), (self._anywhere, ("name", name)), (self._anywhere, ("at", at))]


def _whose(address: str) -> str:
    """Return an address, or the network of an IPv6 one that a single machine has, of 2^64 addresses (RFC 4291)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return address
    return str(found.ipv4_mapped or ip_network((int(found) >> _HOST << _HOST, _HOST)))
