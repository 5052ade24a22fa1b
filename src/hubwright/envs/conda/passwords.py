"""Passwords in the addresses of channels, which conda would write down in an environment for everybody to read.

So rattler is given addresses without them, and the passwords beside, by the names of hosts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from hubwright.errors import MachineError

Passwords = dict[str, dict[str, object]]
"""Host to what opens it, as rattler's file of credentials has it."""
_TOKEN = re.compile(r"/t/([^/\s]+)")
_IN_TEXT = re.compile(r"(https?://)(?:[^/\s]*@)?([^/@\s]+)(?:/t/[^/\s]+)?")


def apart(channels: Iterable[str], where: str) -> tuple[list[str], Passwords]:
    """Return channels without their passwords, and those.

    `https://ada:secret@host/channel` has one, and `https://host/t/TOKEN/channel` a token.

    Raises:
        MachineError: a host has two, or an address without encryption beside an encrypted one that has; rattler tells
            channels apart by their host only.
    """
    found: Passwords = {}
    encrypted: dict[str, bool] = {}
    plain = []
    split = [(channel, _split(channel, where)) for channel in channels]
    for channel, address in split:
        path, opens = address.path, _opens(address)
        if opens:
            host = str(address.hostname)
            if len(opens) > 1 or found.setdefault(host, opens) != opens:
                what = f"The channels of {host} have different passwords or tokens."
                raise MachineError(what, where=where, remedy="Give all channels of one host the same.")
            encrypted[host] = encrypted.get(host, True) and address.scheme == "https"
            path = _TOKEN.sub("", path, count=1) if "CondaToken" in opens else path
        netloc = address.netloc.rpartition("@")[2]
        plain.append(urlunsplit(address._replace(netloc=netloc, path=path)) if opens else channel)
    for _, address in split:
        if address.scheme == "http" and encrypted.get(str(address.hostname)):
            what = f"The password for {address.hostname} would be sent without encryption, for its http:// channel."
            raise MachineError(what, where=where, remedy="Name all of that host's channels with https://.")
    return plain, found


def _split(channel: str, where: str) -> SplitResult:
    try:
        return urlsplit(channel)
    except ValueError as error:
        raise MachineError(f"A channel's address is none: {error}.", where=where) from error


def _opens(address: SplitResult) -> dict[str, object]:
    """Return what an address holds that opens its host."""
    opens: dict[str, object] = {}
    if address.scheme not in {"http", "https"}:
        return opens
    if address.username is not None:
        opens["BasicHTTP"] = {"username": unquote(address.username), "password": unquote(address.password or "")}
    if token := _TOKEN.match(address.path):
        opens["CondaToken"] = token[1]
    return opens


def without(lock: str) -> str:
    """Return a lock without passwords; one that an older Hubwright made may have some. Its comments are pip's."""
    return "".join(line if line.startswith("#") else _IN_TEXT.sub(r"\1\2", line) for line in lock.splitlines(True))
