"""Where the fork server keeps what it knows: a folder a server, its record, its control group; and how it tidies."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubwright.engines.local import launch
from hubwright.fields import Site
from hubwright.machine import cgroups, delegate, mounts
from hubwright.machine.process import Process

_TRASH = "gone-"


@dataclass(frozen=True)
class Recorded:
    """A server that some fork server started."""

    key: str
    user: str
    server: str
    process: Process
    group: str
    reserve: cgroups.Reserve = cgroups.NO_RESERVE
    gpus: tuple[str, ...] = ()


def account_ids(site: Site) -> tuple[int, int]:
    """Return user and group id of the hub's account."""
    entry = pwd.getpwnam(site.account)
    return entry.pw_uid, entry.pw_gid


@dataclass(frozen=True)
class Wishes:
    """What hub.yaml wants of the fork server: modules to import, and whether identical pages are to be kept once."""

    preload: tuple[str, ...] = ()
    merge_memory: bool = False


def wishes(site: Site) -> Wishes:
    """Return what `hubwright up` has written down for this fork server."""
    try:
        words = json.loads((site.run / "preload.json").read_text())
    except FileNotFoundError:
        return Wishes()
    return Wishes(tuple(words["preload"]), words["merge_memory"])


def merging_record(site: Site) -> Path:
    """Return where it is kept what the machine did about identical pages before: where only root can write."""
    return site.logs / "merging.json"


def hierarchy(site: Site) -> cgroups.Hierarchy:
    """Return where this service's control groups are; nowhere when it does not run as root."""
    if not site.privileged:
        return cgroups.Hierarchy(2, {}, "")
    return delegate.ensure(f"hubwright-{site.run.name}")


def recorded(site: Site) -> Iterator[Recorded]:
    """Yield every server that is written down; a folder without a record is what an interrupted start left."""
    for place in site.servers.iterdir() if site.servers.is_dir() else ():
        if place.name.startswith(_TRASH):
            remove(site, place.name)
            continue
        try:
            words = json.loads((place / "server.json").read_text())
            process = Process(int(words["pid"]), int(words["started"]))
            reserve = cgroups.Reserve(**words.get("reserve", {}))
            gpus = tuple(words.get("gpus", ()))
            yield Recorded(place.name, words["user"], words["server"], process, words["group"], reserve, gpus)
        except (OSError, ValueError, KeyError, TypeError):
            remove(site, place.name)


def remove(site: Site, key: str) -> None:
    """Remove a server's folder, without waiting: what a user put into it may be large, deep and strange."""
    trash = site.servers / f"{_TRASH}{secrets.token_hex(6)}"
    try:
        (site.servers / key).rename(trash)
    except FileNotFoundError:
        return
    child = os.fork()
    if child == 0:
        if os.fork() == 0:  # a grandchild: nobody has to wait for it
            mounts.unmount(trash / launch.RUNTIME)
            os.execv("/bin/rm", ["rm", "-rf", "--one-file-system", "--", str(trash)])  # noqa: S606
        os._exit(0)
    os.waitpid(child, 0)


def log_tail(site: Site, user: str, server: str, size: int = 4000) -> str:
    """Return the last lines that a server wrote, at most `size` bytes."""
    try:
        with launch.log_path(site, user, server).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-15:])
    except OSError:
        return ""


def end_strays(key: str, user: str, server: str) -> None:
    """Where there are no control groups: end the processes of this account that belong to a server.

    What was executed has a mark in its environment; what was forked carries the title of what it was forked from.
    """
    mark = f"HUBWRIGHT_SERVER={key}".encode()
    titles = (f"kernel {user}/{server} ".encode(), f"kernel-agent {user}/{server}".encode())
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            titled = command.startswith(titles[0]) or command.rstrip(b"\0 ") == titles[1]
            if titled or mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
