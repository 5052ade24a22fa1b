"""The Julia that an environment runs: one that is installed, or one that is unpacked once for all environments."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from hashlib import file_digest, sha256
from pathlib import Path

import httpx

from hubwright.envs import Tell, named, taking, trying
from hubwright.envs.julia import inputs
from hubwright.envs.julia.config import Config
from hubwright.errors import ConfigError, MachineError, Problem, printable
from hubwright.fields import Site

_LARGEST = 4 * 2**30
_WAYS = ("bin/julia", "*/bin/julia", "usr/bin/julia", "*/usr/bin/julia")


def find(config: Config, site: Site, where: str, tell: Tell) -> tuple[Path, str]:
    """Return the program and its version; an archive is fetched and unpacked when that was not done before.

    Raises:
        MachineError: it cannot be had, does not run, is not what its checksum says, or is of another version.
    """
    if config.comes_as == "program":
        program = inputs.program_of(config, site)
        if program is None:
            raise ConfigError([Problem(f"{where}.julia", "this machine has no such julia.")])
    else:
        program = _unpacked(config, site, f"{where}.julia", tell)
    version = _version(program, f"{where}.julia")
    if config.version and not f"{version}.".startswith(f"{config.version}."):
        raise MachineError(
            f"{program} is Julia {version}, not {config.version}.",
            where=f"{where}.version",
            remedy="Name another in `julia`: the path of the program, an archive, or an address with its `sha256`.",
        )
    return program, version


def _unpacked(config: Config, site: Site, where: str, tell: Tell) -> Path:
    assert config.julia
    place = site.environments / ".julia"
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    if config.comes_as == "archive":
        archive = named.beside(site, config.julia)
        found = _digest(archive, where)
        if config.sha256 and found != config.sha256.lower():
            raise MachineError(f"{archive} has the SHA-256 sum {found}, not {config.sha256}.", where=where)
        return _program_in(place / found[:16]) or _unpack(archive, place / found[:16], where, tell)
    assert config.sha256
    target = place / config.sha256.lower()[:16]
    if program := _program_in(target):
        return program
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=place) as folder:
        archive = Path(folder) / config.julia.rpartition("/")[2]
        _fetch(config.julia, config.sha256.lower(), archive, where, tell)
        return _unpack(archive, target, where, tell)


def _digest(archive: Path, where: str) -> str:
    try:
        with archive.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MachineError(f"{archive} cannot be read: {error.strerror}.", where=where) from error


def _fetch(address: str, digest: str, target: Path, where: str, tell: Tell) -> None:
    """Write what an address gives into a file; what has another checksum is refused."""
    found, size, told = sha256(), 0, -1
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=60) as answer, target.open("wb") as file:
            answer.raise_for_status()
            for piece in answer.iter_bytes(2**20):
                size += len(piece)
                if size > _LARGEST:
                    raise MachineError(f"{address} gives more than {_LARGEST >> 30} GiB.", where=where)
                found.update(piece)
                file.write(piece)
                if size >> 24 != told:
                    told = size >> 24
                    tell(f"Fetched {size >> 20} MB of Julia")
    except httpx.HTTPStatusError as error:
        raise MachineError(f"{address} answers {error.response.status_code}.", where=where) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MachineError(
            f"{address} cannot be fetched: {str(error) or type(error).__name__}.", where=where
        ) from error
    if found.hexdigest() != digest:
        raise MachineError(f"{address} gives what has the SHA-256 sum {found.hexdigest()}, not {digest}.", where=where)


def _unpack(archive: Path, target: Path, where: str, tell: Tell) -> Path:
    """Unpack an archive whose checksum is known into `target`, in one step; another build may do the same."""
    tell("Unpacking Julia")
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=target.parent) as folder:
        fresh = Path(folder) / "julia"
        fresh.mkdir(mode=0o755)
        command = ["tar", "-xf", str(archive), "-C", str(fresh), "--no-same-owner", "--no-same-permissions"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["tar ended without a word"])[-1]
            raise MachineError(f"{archive} cannot be unpacked: {printable(said)}.", where=where)
        if _program_in(fresh) is None:
            raise MachineError(f"{archive} has no bin/julia.", where=where)
        taking.make_plain(fresh)
        try:
            fresh.rename(target)
        except OSError:
            if _program_in(target) is None:
                raise
    program = _program_in(target)
    assert program
    return program


def _program_in(folder: Path) -> Path | None:
    found = (path for way in _WAYS for path in folder.glob(way))
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _version(program: Path, where: str) -> str:
    env = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    command = [str(program), "--version"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, cwd="/", env=env, **trying.identity()
        )
        if told := re.fullmatch(r"julia version (\S+)", done.stdout.strip()):
            return told[1]
        said = ((done.stderr or done.stdout).strip().splitlines() or ["no word"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    raise MachineError(f"{program} does not run: {printable(said)}.", where=where)
