"""The shared depot: made by the account without rights at the place where it stays, then taken over by root.

It is made where it stays because what Julia precompiles holds the paths of its sources, and is no longer taken when
they differ, or when the times of the files do.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from hubwright.envs import Tell, taking, trying
from hubwright.fields import Site

_ARTIFACTS = "artifacts"
"""What packages bring besides sources, named by its content: a new version may begin with that of the one before."""
_HASH = re.compile(r"[0-9a-f]{40}")
_LEFT_OUT = ("clones", "logs", "scratchspaces")


def begin(depot: Path, before: Path | None, site: Site) -> None:
    """Make an empty depot that the account without rights may fill, with copies of the artifacts of the one before."""
    depot.mkdir(mode=0o755)
    trying.give(depot, site)
    if before and (before / _ARTIFACTS).is_dir():
        command = ["cp", "-R", "--preserve=timestamps,links", "--reflink=auto", str(before / _ARTIFACTS), str(depot)]
        subprocess.run(command, check=False, capture_output=True, timeout=1800, **trying.identity())


def take_over(depot: Path, site: Site, tell: Tell) -> None:
    """Let a depot be one's own: files that nobody else has open, which all may read and nobody else change."""
    for name in _LEFT_OUT:
        shutil.rmtree(depot / name, ignore_errors=True)
    if site.privileged:
        tell("Taking over what was built")
        fresh, old = depot.with_name(f"{depot.name}.taken"), depot.with_name(f"{depot.name}.built")
        fresh.mkdir(mode=0o755)
        taking.take(depot, fresh)
        _take_links(depot, fresh)
        depot.rename(old)
        fresh.rename(depot)
        shutil.rmtree(old)
    _drop_unused(depot)
    taking.make_plain(depot)


def _drop_unused(depot: Path) -> None:
    """Remove the artifacts that no package there names."""
    named = {sha for path in depot.glob("packages/*/*/*Artifacts.toml") for sha in _HASH.findall(path.read_text())}
    for path in (depot / _ARTIFACTS).glob("*"):
        if _HASH.fullmatch(path.name) and path.name not in named:
            shutil.rmtree(path)


def _take_links(source: Path, target: Path) -> None:
    """Copy the links that lead to something below `source`, as libraries in artifacts have them."""
    for folder, folders, names, descriptor in os.fwalk(source, follow_symlinks=False):
        below = Path(folder).relative_to(source)
        for name in (*folders, *names):
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISLNK(found.st_mode):
                continue
            path, text = target / below / name, os.readlink(name, dir_fd=descriptor)
            leads_to = os.path.normpath(below / text)
            if not text.startswith("/") and leads_to.split("/")[0] != ".." and not path.exists():
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                path.symlink_to(text)
