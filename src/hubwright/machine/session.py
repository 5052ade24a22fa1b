"""By which SSH connection somebody works on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path


@dataclass(frozen=True)
class Session:
    """An SSH connection, as sshd(8) tells it in SSH_CONNECTION."""

    client: str
    """The address of the other machine; that of IPv4 also where it came as IPv6."""
    port: int
    """Of this machine."""


def session() -> Session | None:
    """Return the connection that this process hangs on; None when it is no SSH session, or cannot be seen.

    sudo takes the variable away, so whoever started it is asked, too.
    """
    told = os.environ.get("SSH_CONNECTION", "")
    pid = os.getppid()
    while not told and pid > 1:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            return None
        found = [line.partition(b"=")[2] for line in environment if line.startswith(b"SSH_CONNECTION=")]
        told = found[0].decode(errors="replace") if found else ""
    return parse(told)


def parse(text: str) -> Session | None:
    """Return what `SSH_CONNECTION` says: client address, its port, our address, our port; None when it says nothing."""
    words = text.split()
    try:
        client = ip_address(words[0].partition("%")[0])
        mapped = getattr(client, "ipv4_mapped", None)
        return Session(str(mapped or client), int(words[3]))
    except (ValueError, IndexError):
        return None
