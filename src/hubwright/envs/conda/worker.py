"""Conda's part of a build: solves, fetches and links with py-rattler. A program of its own, for its threads outlive it.

    python -I -m hubwright.envs.conda.worker < request

The request is one line of JSON, `{"do": "solve", "specs", "channels", "passwords", "cache"}` or `{"do": "link", "lock",
"passwords", "prefix", "cache"}`, with what opens the channels (`passwords.py`). It answers with lines of JSON:
`{"step": "..."}` while it works, then `{"lock": "..."}`, `{"linked": {name: version}}` or `{"wrong": "..."}`. It ends
at once when its input is closed, that is, with who asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import rattler

_LOCKED = "default"


def tell(**words: Any) -> None:
    """Write one line of the answer."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


class Reporter(rattler.InstallerReporter):
    """Tells which package is fetched or linked."""

    def __init__(self, count: int) -> None:
        self._count, self._linked = count, 0

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        """Tell that a package is looked for in the cache, and fetched when it is not there."""
        tell(step=f"Fetching {package_name}")
        return operation

    def on_link_start(self, operation: int, package_name: str) -> int:
        """Tell that a package is put in its place."""
        self._linked += 1
        tell(step=f"Linking {package_name} ({self._linked} of {self._count})")
        return operation


async def solve(specs: list[str], channels: list[str], cache: Path, config: rattler.Config) -> str:
    """Return the lock file's text for what fits together, for this kind of machine."""
    gateway = rattler.Gateway.from_config(config, cache_dir=cache / "repodata")
    machine = rattler.VirtualPackage.detect()
    tell(step="Looking for packages that fit together")
    found = await rattler.solve(channels, specs, gateway=gateway, virtual_packages=machine)
    platform = rattler.LockPlatform(str(rattler.Subdir.current()))
    lock = rattler.LockFile([platform])
    lock.set_channels(_LOCKED, [rattler.LockChannel(channel) for channel in channels])
    for record in found:
        lock.add_conda_package(_LOCKED, platform, record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock"
        lock.to_path(path)
        return path.read_text()


async def link(lock: str, prefix: str, cache: Path, config: rattler.Config) -> dict[str, str]:
    """Put what a lock file names into `prefix`; return names and versions. No script of a package is run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock"
        path.write_text(lock)
        environment = rattler.LockFile.from_path(path).environment(_LOCKED)
    here = str(rattler.Subdir.current())
    of = {one.name: one for one in environment.platforms()} if environment else {}
    if environment is None or here not in of:
        raise ValueError(f"the lock is for {', '.join(of) or 'no machine'}, and this one is {here}")
    records = environment.conda_repodata_records_for_platform(of[here]) or []
    for record in records:
        _verify(record)
    await rattler.install(
        records,
        target_prefix=prefix,
        cache_dir=cache / "packages",
        execute_link_scripts=False,
        show_progress=False,
        reporter=Reporter(len(records)),
        config=config,
    )
    return {record.name.normalized: str(record.version) for record in records}


@contextmanager
def _configured(passwords: dict[str, Any]) -> Iterator[rattler.Config]:
    """Give rattler's settings: the machine's certificates, where an institute adds its own, and what opens channels."""
    told = 'tls-root-certs = "system"\n'
    if not passwords:  # rattler's own file of them, and netrc
        yield rattler.Config.from_toml(told)
        return
    with os.fdopen(os.memfd_create("passwords"), "w") as file:  # nothing of it stays when this process is killed
        json.dump(passwords, file)
        file.flush()
        yield rattler.Config.from_toml(f'{told}authentication-override-file = "/proc/self/fd/{file.fileno()}"')


def _verify(record: rattler.RepoDataRecord) -> None:
    """Compare an archive in a folder with its hash, which rattler does for what it downloads only."""
    if record.sha256 is None and record.md5 is None:
        raise ValueError(f"{record.file_name} has no hash in its channel, so nothing tells whether it is whole")
    path = record.url.removeprefix("file://")
    if path == record.url and not path.startswith("/"):
        return
    with Path(unquote(path)).open("rb") as file:
        found = hashlib.file_digest(file, "sha256" if record.sha256 else "md5").digest()
    if found != (record.sha256 or record.md5):
        raise ValueError(f"{record.file_name} is not what its channel's index says: it is damaged")


def _end_with_who_asked() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Do what the one line of the input says."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_who_asked, daemon=True).start()
    cache = Path(request["cache"])
    try:
        with _configured(request["passwords"]) as config:
            if request["do"] == "solve":
                tell(lock=asyncio.run(solve(request["specs"], request["channels"], cache, config)))
            else:
                tell(linked=asyncio.run(link(request["lock"], request["prefix"], cache, config)))
    except Exception as error:  # each of rattler's is a class of its own, without a base
        tell(wrong=str(error))
    os._exit(0)  # not by returning: rattler's threads would still ask for the interpreter


if __name__ == "__main__":
    main()
