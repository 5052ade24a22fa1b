"""Where a container's server listens: the socket is moved out of its reach before anybody is led to it.

    <run>/s/<key>/          the hub's, closed to everybody else
      c/                    seen in the container as /run/hubwright-server; its socket is made in it, at the start
      http.sock             that socket, moved out of the user's reach
      passwd, group         the container's account files
      jupyter/              seen in the container as /run/hubwright-kernels: those of shared environments

A user who could replace the socket by a link would lead the proxy, with its rights, to any socket of the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import Refused
from hubwright.fields import Site
from hubwright.machine.files import make_folder, write_atomically

RECORD = "container.json"
"""User, server, container and control group above it, of a server that was started."""


@dataclass(frozen=True)
class Place:
    """The folder of one server."""

    root: Path

    @classmethod
    def of(cls, site: Site, key: str) -> Place:
        """Return the place of the server with this key; nothing is made."""
        return cls(site.servers / key)

    @property
    def inside(self) -> Path:
        """What the container sees."""
        return self.root / "c"

    @property
    def socket(self) -> Path:
        """Where hub and Caddy find the server."""
        return self.root / "http.sock"

    @property
    def jupyter(self) -> Path:
        """Data for Jupyter: the kernels of shared environments."""
        return self.root / "jupyter"

    def make(self, passwd: str, group: str, kernels: Iterable[tuple[str, str | dict[str, object]]] = ()) -> None:
        """Make it anew, with the account files of this start, and kernels: where each is, or its kernelspec."""
        self.remove()
        self.root.mkdir(mode=0o700)
        self.inside.mkdir()
        self.inside.chmod(0o733)
        for name, text in (("passwd", passwd), ("group", group)):
            write_atomically(self.root / name, text, 0o644, durable=False)
        there = make_folder(make_folder(self.jupyter, 0o755) / "kernels", 0o755)
        for called, what in kernels:
            if isinstance(what, str):
                (there / called).symlink_to(what)
            else:
                spec = make_folder(there / called, 0o755) / "kernel.json"
                write_atomically(spec, json.dumps(what), 0o644, durable=False)

    def record(self, user: str, server: str, container: str, parent: str) -> None:
        """Write down whose container it is, for whoever counts what servers take."""
        told = {"user": user, "server": server, "container": container, "parent": parent}
        write_atomically(self.root / RECORD, json.dumps(told), 0o600, durable=False)

    def take(self, uid: int) -> bool:
        """Move the server's socket out of the container's reach, and close the folder; False while it is not there.

        Raises:
            Refused: what lies there is no socket, or not the user's.
        """
        there = self.inside / "http.sock"
        try:
            if not there.lstat().st_mode & stat.S_IWOTH:
                return False  # bound, and not yet opened for others
            there.rename(self.socket)
        except FileNotFoundError:
            return False
        self.inside.chmod(0o700)
        found = self.socket.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            self.socket.unlink()
            raise Refused("What the container put in the place of its server's socket is none.")
        return True

    def has(self, name: str) -> bool:
        """Whether the container has made a file of that name beside its socket, before it was taken."""
        return (self.inside / name).exists()

    def remove(self) -> None:
        """Remove it; what a user left that the hub may not remove is moved aside, for `sweep`."""
        if not self.root.exists():
            return
        shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists():
            self.root.rename(self.root.with_name(f"gone-{secrets.token_hex(8)}"))


def sweep(site: Site) -> None:
    """Remove what was moved aside; for root."""
    for path in site.servers.glob("gone-*"):
        shutil.rmtree(path, ignore_errors=True)


def link_hub(site: Site) -> None:
    """Put the hub's socket for servers into a folder that containers can be given; again after each start.

    A container that was given the socket itself would keep that one when a later start makes another.
    """
    folder = make_folder(hub_folder(site), 0o755)
    fresh = folder / ".new"
    fresh.unlink(missing_ok=True)
    os.link(site.api_socket, fresh)
    fresh.rename(folder / site.api_socket.name)


def hub_folder(site: Site) -> Path:
    """Return the folder with nothing but the hub's socket in it."""
    return site.run / "api"
