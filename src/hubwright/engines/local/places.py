"""Where the fork server keeps what it knows: a folder a server, its record, its control group; and how it tidies."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubwright.engines.local import launch
from hubwright.fields import Site
from hubwright.machine import cgroups, delegate
from hubwright.machine.process import Process


@dataclass(frozen=True)
class Recorded:
    """A server that some fork server started."""

    key: str
    user: str
    server: str
    process: Process
    group: str


def account_ids(site: Site) -> tuple[int, int]:
    """Return user and group id of the hub's account."""
    entry = pwd.getpwnam(site.account)
    return entry.pw_uid, entry.pw_gid


def preloads(site: Site) -> tuple[str, ...]:
    """Return the modules that hub.yaml wants imported before the fork."""
    try:
        return tuple(json.loads((site.run / "preload.json").read_text()))
    except FileNotFoundError:
        return ()


def hierarchy(site: Site) -> cgroups.Hierarchy:
    """Return where this service's control groups are; nowhere when it does not run as root."""
    if not site.privileged:
        return cgroups.Hierarchy(2, {}, "")
    return delegate.ensure(f"hubwright-{site.run.name}")


def recorded(site: Site) -> Iterator[Recorded]:
    """Yield every server whose record is whole; what an interrupted start left is removed."""
    for path in site.servers.glob("*/server.json"):
        try:
            words = json.loads(path.read_text())
            process = Process(int(words["pid"]), int(words["started"]))
            yield Recorded(path.parent.name, words["user"], words["server"], process, words["group"])
        except (ValueError, KeyError):
            remove(site, path.parent.name)


def remove(site: Site, key: str) -> None:
    """Remove a server's folder."""
    shutil.rmtree(site.servers / key, ignore_errors=True)


def log_tail(site: Site, user: str, server: str, size: int = 4000) -> str:
    """Return the last lines that a server wrote, at most `size` bytes."""
    try:
        with launch.log_path(site, user, server).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-15:])
    except OSError:
        return ""


def end_strays(key: str) -> None:
    """Where there are no control groups: end this account's processes that carry a server's mark."""
    mark = f"HUBWRIGHT_SERVER={key}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
