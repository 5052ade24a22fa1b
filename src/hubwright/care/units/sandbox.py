"""What systemd keeps from hub, Caddy and metrics: settings of their units (systemd.exec(5)); pure.

Only they have it. Fork server and account helper start what is somebody else's, a notebook or a PAM module, and that
would inherit it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hubwright.machine.systemd import word

Settings = list[tuple[str, str]]
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= covers."""
_EVERYBODY = (
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    ("ProtectSystem", "strict"),
    ("PrivateTmp", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("LockPersonality", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged"),
    ("SystemCallErrorNumber", "EPERM"),
)


@dataclass(frozen=True)
class Sandbox:
    """What one program may still do."""

    writes: tuple[Path, ...]
    """Folders that it may write in."""
    reads: tuple[Path, ...] = ()
    """Places that it reads, wherever they are; in people's homes nothing else is seen."""
    hides: tuple[Path, ...] = ()
    """What its account might read and it need not."""
    network: bool = False
    """Whether it speaks with other machines."""
    devices: bool = False
    """Whether it sees devices, a GPU for example."""
    homes: bool = False
    """Whether it sees people's homes, without being able to write there."""
    others: bool = True
    """Whether it sees processes of other accounts in /proc."""
    compiled: bool = False
    """Whether it makes no code while it runs."""


def settings(sandbox: Sandbox) -> Settings:
    """Return the settings for a unit's section [Service]."""
    found: Settings = [*_EVERYBODY, *_homes(sandbox)]
    outside = [path for path in sandbox.writes if not _in_homes(path)]
    if outside:
        found.append(("ReadWritePaths", _words(outside)))
    if sandbox.hides:
        found.append(("InaccessiblePaths", " ".join(word(f"-{path}") for path in sandbox.hides)))
    families = "AF_UNIX AF_INET AF_INET6" if sandbox.network else "AF_UNIX"
    found.append(("RestrictAddressFamilies", families))
    if not sandbox.devices:
        found.append(("PrivateDevices", "yes"))
    if not sandbox.others:
        found.append(("ProtectProc", "invisible"))
    if sandbox.compiled:
        found.append(("MemoryDenyWriteExecute", "yes"))
    return found


def _homes(sandbox: Sandbox) -> Settings:
    if sandbox.homes:
        return [("ProtectHome", "read-only")]
    reads, writes = ([path for path in paths if _in_homes(path)] for paths in (sandbox.reads, sandbox.writes))
    if not reads and not writes:
        return [("ProtectHome", "yes")]
    found = [("ProtectHome", "tmpfs")]
    if reads:
        found.append(("BindReadOnlyPaths", _words(reads)))
    if writes:
        found.append(("BindPaths", _words(writes)))
    return found


def _in_homes(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in _HOMES)


def _words(paths: Iterable[Path]) -> str:
    return " ".join(dict.fromkeys(word(str(path)) for path in paths))
