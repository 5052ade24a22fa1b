"""A folder with a hub.yaml whose environments are built, without a service."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.config.load import load
from hubwright.envs import building
from hubwright.envs.versions import Version, Versions
from hubwright.fields import Site
from hubwright.machine.place import place
from tests.slowness import SLOWNESS


def site_of(folder: Path, yaml: str) -> tuple[dict[str, Any], Site]:
    """Write a hub.yaml; return its environments, and the site of its service."""
    (folder / "hub.yaml").write_text(yaml)
    loaded = load(folder / "hub.yaml")
    return dict(loaded.hub.environments), place("127.0.0.1:8000", None, loaded.path, None)


def builders() -> dict[int, str]:
    """Return the accounts that builds have had on this machine, by their user ids."""
    return {entry.pw_uid: entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith("hubwright-build-")}


def built_as(seen: Path) -> str:
    """Return the account whose builds have left files named by its user id, and nobody's else, in a folder."""
    (uid,) = seen.iterdir()
    return builders()[int(uid.name)]


@dataclass
class Lab:
    """One such folder."""

    folder: Path
    yaml: str = ""

    def write(self, environments: str) -> Lab:
        """Write what stands below `environments:`."""
        self.yaml = f"environments:\n{environments}\n"
        (self.folder / "hub.yaml").write_text(self.yaml)
        return self

    @property
    def site(self) -> Site:
        """Where its service would keep its things."""
        return site_of(self.folder, self.yaml)[1]

    def entry(self, name: str) -> Any:
        """Return an entry of its hub.yaml."""
        return site_of(self.folder, self.yaml)[0][name]

    def build(self, name: str = "lab") -> Version:
        """Build an environment; what keeps it from being built is raised."""
        return building.build(name, self.entry(name), self.site, lambda step: None)

    def versions(self, name: str = "lab") -> Versions:
        """Return the versions of an environment."""
        return building.versions_of(name, self.site)

    def current(self, name: str = "lab") -> Version:
        """Return the version that serves."""
        version = self.versions(name).current()
        assert version
        return version

    def kernel(self, name: str = "lab") -> Path:
        """Return the folder of its kernel."""
        return self.site.environments / name / "current" / "kernel"

    def command(self, *words: str) -> list[str]:
        """Return the command line of `hubwright env`."""
        hubwright = str(Path(sys.prefix) / "bin" / "hubwright")
        return [hubwright, "env", *words, "--config", str(self.folder / "hub.yaml")]

    def env(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `hubwright env` to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=150 * SLOWNESS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "300"},
        )
