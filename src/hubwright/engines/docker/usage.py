"""Where the servers of the Docker engine are counted: a control group each, known from what the hub wrote down."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from hubwright.engines.docker import cap
from hubwright.engines.docker.place import RECORD
from hubwright.fields import Site, instance_of
from hubwright.machine import cgroups
from hubwright.machine.usage import Names, Running


class ContainerSource:
    """Looks at the records beside the servers' sockets, and reads those that are new; asks nobody."""

    def __init__(self, site: Site, names: Names) -> None:
        self._servers = site.servers
        self._instance = instance_of(site.state)
        self._names = names
        self._hierarchy = cgroups.find(f"hubwright-{self._instance}")
        self._records: dict[str, tuple[int, Running]] = {}
        """Key to when its record was written, and what it says."""
        self._found: Mapping[str, Running] = {}

    def running(self, lost: Collection[str]) -> Mapping[str, Running]:
        """Return every server; see `machine.usage.Source`."""
        records: dict[str, tuple[int, Running]] = {}
        for key in os.listdir(self._servers):  # noqa: PTH208 (a thousand names, every few seconds)
            file = self._servers / key / RECORD
            try:
                written = file.stat().st_mtime_ns
                known = self._records.get(key)
                if known and known[0] == written and key not in lost:
                    records[key] = known
                elif one := self._read(file):
                    records[key] = (written, one)
                    self._names[key] = (one.user, one.server)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
        if records != self._records:
            self._records = records
            self._found = {key: one for key, (_, one) in records.items()}
        return self._found

    def _read(self, file: Path) -> Running | None:
        """Return what a record says; None for one whose container does not run."""
        told = json.loads(file.read_bytes())
        driver = "systemd" if told["parent"].endswith(".slice") else "cgroupfs"
        group = cap.folder(self._instance, driver, told["container"])
        folders = {kind: mount / group for kind, mount in self._hierarchy.mounts.items() if (mount / group).is_dir()}
        if not folders:
            return None
        return Running(told["user"], told["server"], told["container"][:16], self._hierarchy.version, folders)


def source(site: Site, names: Names) -> ContainerSource:
    """Return where the servers of this engine are counted."""
    return ContainerSource(site, names)
