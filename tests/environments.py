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
from tests.conftest import Account
from tests.slowness import SLOWNESS

_CELL = """\
import subprocess, sys
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
def say(message):
    content = message["content"]
    text = content.get("text") or content.get("data", {}).get("text/plain") or content.get("evalue")
    print(text or "", end="")
folder, code, wait = sys.argv[1:]
specs = KernelSpecManager(kernel_dirs=[folder], ensure_native_kernel=False)
manager = KernelManager(
    kernel_name="kernel", kernel_spec_manager=specs, transport="ipc", connection_file="kernel-hwt.json"
)
manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=float(wait))
    client.execute_interactive(code, output_hook=say, timeout=float(wait))
finally:
    manager.shutdown_kernel(now=True)
"""


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

    def cell(self, who: Account, code: str, name: str = "lab") -> str:
        """Start an environment's kernel as a person, in the home; return what a cell there prints, or its error."""
        wait = 60 * SLOWNESS
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CELL, str(self.kernel(name).parent), code, str(wait)],
            capture_output=True,
            text=True,
            timeout=3 * wait,
            cwd=who.home,
            env={"HOME": str(who.home), "PATH": os.defpath, "LANG": "C.UTF-8"},
            user=who.uid,
            group=who.gid,
            extra_groups=[],
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

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
