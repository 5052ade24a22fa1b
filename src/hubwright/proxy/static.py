"""JupyterLab's core files and extensions, the same for all, laid out for Caddy: once a build, compressed beforehand."""

from __future__ import annotations

import gzip
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.fields import Site

LAB = Path("share/jupyter/lab/static")
"""Where an environment has JupyterLab's files."""
EXTENSIONS = Path("share/jupyter/labextensions")
"""Where it has JupyterLab's extensions."""
OWN_EXTENSIONS = Path(__file__).parents[1] / "engines/local/labextensions"
"""Hubwright's own."""
_TEXT = frozenset({".css", ".eot", ".html", ".js", ".json", ".svg", ".ttf", ".txt", ".wasm"})


def publish(prefix: Path, site: Site, progress: Callable[[str], None]) -> str:
    """Lay out the JupyterLab of `prefix` below `site.static` unless it is there; return its URL path.

    The path ends in a slash and is meant for `LabApp.override_static_url`; it holds a hash of all names and contents.
    `progress` gets a sentence when there is something to do (about a second). A folder appears whole or not at all.
    """
    files = _files(prefix / LAB, Path())
    if not files:
        raise MachineError(
            "JupyterLab's files are missing.",
            where=str(prefix / LAB),
            remedy="Install JupyterLab into this environment again.",
        )
    for folder in (prefix / EXTENSIONS, OWN_EXTENSIONS):  # of two of one name the own one counts, as for a server
        files |= _files(folder, Path("extensions"))
    build = _hash(files)
    builds = site.static / "lab"
    if not (builds / build).is_dir():
        progress("Compressing JupyterLab's files, once for this version")
        fresh = builds / f".new-{secrets.token_hex(6)}"
        try:
            builds.mkdir(mode=0o755, parents=True, exist_ok=True)
            _lay_out(files, fresh)
            for folder in (site.static, builds, fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
            if not (builds / build).is_dir():
                fresh.rename(builds / build)
        except OSError as error:
            raise MachineError(
                f"JupyterLab's files cannot be laid out: {error.strerror}.",
                where=str(builds),
                remedy="They need 25 MB there.",
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return f"{site.base_url}hubwright/lab/{build}/"


def sweep(site: Site, url: str, since: float) -> None:
    """Remove every build but the one at `url`, which servers are told of since that time (seconds since 1970).

    While a server runs that was started earlier, all are kept: its pages name an older build.
    """
    builds = site.static / "lab"
    records = [record.stat().st_mtime for record in site.servers.glob("*/server.json")]
    if any(started <= since for started in records):
        return
    for folder in builds.iterdir():
        if folder.name != url.rstrip("/").rpartition("/")[2]:
            leaving = folder if folder.name.startswith(".") else folder.rename(builds / f".old-{secrets.token_hex(6)}")
            shutil.rmtree(leaving, ignore_errors=True)  # what is left of it goes the next time


def _files(folder: Path, below: Path) -> dict[Path, Path]:
    """Return what is in a folder, by its name below another one."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".map")
    return {below / path.relative_to(folder): path for path in found}


def _hash(files: Mapping[Path, Path]) -> str:
    digest = sha256()
    for name, path in files.items():
        digest.update(f"{name}\0".encode())
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _lay_out(files: Mapping[Path, Path], fresh: Path) -> None:
    for name, path in files.items():
        content = path.read_bytes()
        target = fresh / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _write(target, content)
        if path.suffix in _TEXT:
            smaller = gzip.compress(content, 6, mtime=0)
            if len(smaller) < 0.9 * len(content):
                _write(target.with_name(f"{target.name}.gz"), smaller)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
