"""Password hashes and one-time links, in one file that survives a kill at any moment.

Upstream keeps hashes in a dbm, whose file a kill in mid-write can destroy; and a link that is used up and the password
that it sets must change together. So both stand in one small JSON file, 0600, replaced atomically.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import bcrypt

from hubwright.auth.kept import Kept
from hubwright.machine.files import Owner

LINK_LASTS = 7 * 86400.0
"""Seconds until a one-time link expires."""
LONGEST = 72
"""Bytes of a password that bcrypt looks at; longer ones are refused instead of cut."""

State = Literal["claimed", "unclaimed", "expired", "none"]
"""`none`: no password and no link was ever made."""


class Store:
    """Who has which password hash and which open link. Blocks (disk, bcrypt), so call it from a thread."""

    def __init__(self, folder: Path, owner: Owner | None = None, clock: Callable[[], float] = time.time) -> None:
        """Keep it in `folder`, which must exist, as a file of `owner` (default: whoever writes)."""
        self.path = folder / "passwords.json"
        self._kept = Kept(self.path, "passwords", ("passwords", "claims"), owner)
        self._clock = clock

    def state(self, name: str) -> State:
        """Return whether a person has a password, or a link to choose one."""
        return self.states([name])[name]

    def states(self, names: list[str]) -> dict[str, State]:
        """Return the state of each person."""
        found = self._kept.read()

        def one(name: str) -> State:
            if name in found["passwords"]:
                return "claimed"
            if claim := found["claims"].get(name):
                return "unclaimed" if claim["expires"] > self._clock() else "expired"
            return "none"

        return {name: one(name) for name in names}

    def names(self) -> frozenset[str]:
        """Return who has a password or a link."""
        found = self._kept.read()
        return frozenset({*found["passwords"], *found["claims"]})

    def new_link(self, name: str) -> str:
        """Return the token of a new one-time link; an older link and the password stop working at once."""
        token = secrets.token_urlsafe(32)
        with self._kept.change() as found:
            found["passwords"].pop(name, None)
            found["claims"][name] = {"hash": _digest(token), "expires": self._clock() + LINK_LASTS}
        return token

    def link_problem(self, name: str, token: str) -> str:
        """Return "" when the link can be used now, else why not; a wrong token never tells what there is."""
        return self._problem(self._kept.read(), name, token)

    def claim(self, name: str, token: str, password: str) -> str:
        """Use a link up and set the password; return "" or why not. Of two at once one wins."""
        if problem := self.link_problem(name, token):
            return problem
        hashed = _hash(password)
        with self._kept.change() as found:
            if problem := self._problem(found, name, token):
                return problem
            del found["claims"][name]
            found["passwords"][name] = hashed
        return ""

    def verify(self, name: str, password: str) -> bool:
        """Whether it is the person's password; takes as long for a name that nobody has."""
        hashed = self._kept.read()["passwords"].get(name)
        given = password.encode("utf-8", "surrogatepass")
        fits = 0 < len(given) <= LONGEST and b"\0" not in given
        right = bcrypt.checkpw(given if fits else b"x", hashed.encode() if hashed else _NOBODYS)
        return right and fits and hashed is not None

    def set(self, name: str, password: str) -> None:
        """Set a password; an open link stops working."""
        hashed = _hash(password)
        with self._kept.change() as found:
            found["passwords"][name] = hashed
            found["claims"].pop(name, None)

    def forget(self, name: str) -> None:
        """Forget a person's password and link."""
        with self._kept.change() as found:
            found["passwords"].pop(name, None)
            found["claims"].pop(name, None)

    def _problem(self, found: dict[str, Any], name: str, token: str) -> str:
        claim = found["claims"].get(name)
        expected = claim["hash"] if claim else _digest("")
        same = hmac.compare_digest(expected, _digest(token))
        if not same or not claim or not token:
            return "This link does not work. It may have been used already, or a newer one was made."
        if claim["expires"] <= self._clock():
            return "This link has expired."
        return ""


def password_problem(password: str, minimum: int) -> str:
    """Return "" for a password that can be taken, else what is wrong with it in words."""
    if len(password) < minimum:
        return f"The password is too short: use {minimum} characters or more."
    if "\0" in password or not _encodes(password):
        return "The password has a character that cannot be used."
    if len(password.encode()) > LONGEST:
        return f"The password is too long: use at most {LONGEST} letters (fewer with accents or symbols)."
    return ""


_NOBODYS = b"$2b$12$C6UzMDM.H6dfI/f/IKcEeO7ZBZxPfzXpVZ8cuqbUYV9KQZPcYvV0W"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(12)).decode()
