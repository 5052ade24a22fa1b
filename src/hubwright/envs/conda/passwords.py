"""Passwords in the addresses of channels, which conda would write down in an environment for everybody to read.

So rattler is given addresses without them, and the passwords beside, by the names of hosts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit, urlunsplit

from hubwright.errors import MachineError

Passwords = dict[str, dict[str, object]]
"""Host to what opens it, as rattler's file of credentials has it."""
_TOKEN = re.compile(r"/t/([^/\s]+)(?=/)")
_IN_TEXT = re.compile(r"(https?://)(?:[^/@\s]+@)?([^/@\s]+)(?:/t/[^/\s]+(?=/))?")


def apart(channels: Iterable[str], where: str) -> tuple[list[str], Passwords]:
    """Return channels without their passwords, and those.

    `https://ada:secret@host/channel` has one, and `https://host/t/TOKEN/channel` a token.

    Raises:
        MachineError: one host has two, and rattler tells channels apart by their host only.
    """
    found: Passwords = {}
    plain = []
    for channel in channels:
        address = urlsplit(channel)
        opens: dict[str, object] = {}
        if address.password is not None:
            words = {"username": unquote(address.username or ""), "password": unquote(address.password)}
            opens = {"BasicHTTP": words}
        elif address.scheme in {"http", "https"} and (token := _TOKEN.match(address.path)):
            opens = {"CondaToken": token[1]}
        if opens and found.setdefault(host := str(address.hostname), opens) != opens:
            raise MachineError(
                f"The channels of {host} have different passwords or tokens.",
                where=where,
                remedy="Give all channels of one host the same.",
            )
        path = _TOKEN.sub("", address.path, count=1) if "CondaToken" in opens else address.path
        netloc = address.netloc.rpartition("@")[2]
        plain.append(urlunsplit(address._replace(netloc=netloc, path=path)) if opens else channel)
    return plain, found


def without(lock: str) -> str:
    """Return a lock without passwords; one that an older Hubwright made may have some."""
    return _IN_TEXT.sub(r"\1\2", lock)
