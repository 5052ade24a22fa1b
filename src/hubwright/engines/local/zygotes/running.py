"""The zygotes that there are, and those that there should be: one for each current version that names modules."""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubwright.engines.local.zygotes import confined, program, terms
from hubwright.fields import Site
from hubwright.machine.accounts import READERS, ensure_group, ensure_system_account

ACCOUNT = "hubwright-zygote"
"""In whose name packages are imported; it owns nothing."""


@dataclass(frozen=True)
class Version:
    """A version of an environment whose kernels are forked."""

    name: str
    folder: Path
    prefix: str
    minor: str
    """Of Python: `3.11`."""
    modules: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    """What the environment sets for each of its kernels."""


class Zygote:
    """One that runs, until it is told to retire or ends by itself."""

    def __init__(self, version: Version, pid: int, channel: socket.socket) -> None:
        self.version = version
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.channel = channel
        self.ready = False
        self.served = False
        """Whether a kernel came of it."""
        self.said = ""
        """Why it cannot do its work."""
        channel.setblocking(False)

    def hear(self) -> None:
        """Take its word that it has imported everything, or why it could not."""
        try:
            packet = self.channel.recv(8192)
        except ConnectionResetError:
            packet = b""
        if packet == terms.READY:
            self.ready = True
        elif packet:
            self.said = packet.decode(errors="replace").removeprefix(terms.FAILED.decode())
        else:
            self.kill()  # it has closed its end, and is of no use

    def fork(self, descriptors: list[int]) -> bool:
        """Ask for a child that takes these over; whether it heard."""
        try:
            socket.send_fds(self.channel, [terms.FORK], descriptors)
        except OSError:
            return False
        return True

    def retire(self) -> None:
        """Have it end when its last kernel does."""
        self.ready = False
        try:
            self.channel.send(terms.RETIRE)
        except OSError:
            self.kill()

    def kill(self) -> None:
        """End it; its kernels live on."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> int:
        """Forget one that has ended; return its exit code."""
        os.close(self.pidfd)
        self.channel.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def describe(self) -> dict[str, Any]:
        """Return what root is told of it."""
        version = self.version
        told = {"environment": version.name, "version": int(version.folder.name), "modules": list(version.modules)}
        return {**told, "pid": self.pid, "ready": self.ready}


def wanted(site: Site) -> set[Version]:
    """Return the versions that are current now, of environments that hub.yaml names."""
    try:
        names = json.loads((site.environments / "offered.json").read_text())
    except (OSError, ValueError):
        return set()
    return {version for name in names if (version := current(site, name))}


def current(site: Site, name: str) -> Version | None:
    """Return the current version of an environment; None when it has none, or its kernels are not forked."""
    if not name or name.startswith(".") or "/" in name:
        return None
    try:
        folder = (site.environments / name / "current").resolve(strict=True)
        told = json.loads((folder / "version.json").read_text())
    except (OSError, ValueError):
        return None
    modules = tuple(told.get("preload", ()))
    minor = ".".join(told["language"].split(".")[:2])
    variables = tuple(sorted(told.get("variables", {}).items()))
    return Version(name, folder, told["prefix"], minor, modules, variables) if modules else None


def start(version: Version) -> Zygote:
    """Start a zygote; what keeps it from running is told when it ends."""
    ensure_system_account(ACCOUNT)
    groups = [ensure_group(READERS)]
    argv, env = _command(version), dict(version.variables)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(theirs.fileno(), terms.CHANNEL)
            confined.execute(argv, ACCOUNT, groups, env)
        except OSError as error:
            os.write(terms.CHANNEL, terms.FAILED + f"its zygote cannot be started: {error}".encode())
        finally:
            os._exit(1)
    theirs.close()
    return Zygote(version, pid, ours)


def _command(version: Version) -> list[str]:
    prefix = Path(version.prefix)
    threads = find_spec("threadpoolctl")
    told = {
        "modules": version.modules,
        "where": f"environments.{version.name}.preload",
        "shared": str(prefix / "lib" / f"python{version.minor}" / "site-packages"),
        "launch": str(version.folder / "kernel" / "launch"),
        "threadpoolctl": str(threads.origin) if threads else "",
    }
    return [str(prefix / "bin" / "python"), str(program.__file__), json.dumps(told)]
