"""R's commands: install packages into a library of the version's own, as an account without rights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from hubwright.envs import Made, Tell, Wanted, irkernel, leash, named, taking, trying
from hubwright.envs.r.config import Config
from hubwright.envs.r.cran import Repository, resolve
from hubwright.envs.r.versions import Need, read_need
from hubwright.errors import ConfigError, MachineError, Problem, Refused, printable
from hubwright.fields import Site
from hubwright.machine.files import weak_component

_INSTALLING = re.compile(r"\* installing \*(?:source|binary)\* package .([A-Za-z0-9.]+). ")
_HASH = "Sha256"
_LONGEST = 3 * 3600.0
_FULL = 2**20
"""Bytes; a disk that has fewer left is full: R then says that loading failed, or that a file is not there."""


def check(config: Config, site: Site) -> list[Problem]:
    """Return what keeps R from being run, or a repository that is not there."""
    found = []
    program = Path(config.program)
    if not os.access(program, os.X_OK) or not program.is_file():
        remedy = "Install it: apt install r-base-core r-cran-irkernel. Or name another." if _is_systems(program) else ""
        found.append(Problem("program", f"{program} is no program.", remedy))
    elif site.privileged and (weakness := weak_component(program)):
        found.append(Problem("program", f"{weakness}: whoever can change it decides what everybody runs."))
    if _is_folder(config):
        found += named.folder_problems(site, "repository", config.repository)
    return found


def sources(config: Config, site: Site) -> dict[str, str]:
    """Nothing but the section: it names no files."""
    return {}


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Make the library in `library` of the version's folder."""
    where, site = f"environments.{wanted.name}", wanted.site
    if problems := check(config, site):
        raise ConfigError([replace(one, where=f"{where}.{one.where}") for one in problems])
    program, library = Path(config.program), wanted.folder / "library"
    r = irkernel.ask(program, where)
    repository = _repository(config, site, wanted.cache, where, tell)
    locked = _read_lock(wanted.lock, r, where) if wanted.lock else {}
    asked = [read_need(f"{name}=={told['Version']}") for name, told in locked.items()] or _asked(config, r)
    packages = resolve(asked, r.packages, r.version, repository, where)
    archives = [repository.fetch(one) for one in packages]
    for one, archive in zip(packages, archives, strict=True):
        expected = locked.get(one.name, {}).get(_HASH) if locked else ""
        if expected is None or (expected and _sha256(archive) != expected):
            raise MachineError(
                f"{one.file} is another than when it was locked.",
                where=where,
                remedy=f'Lock it anew if that is right: "hubwright env lock {wanted.name}".',
            )
    library.mkdir(mode=0o755)
    with taking.bench(wanted.folder, site) as bench:
        _install(program, bench, archives, site, where, tell)
        taking.take(bench / "library", library)
    now = irkernel.ask(program, where, library)
    names = [one.name for one in _asked(config, r) if one.name != irkernel.KERNEL]
    shown, current = config.display or wanted.name, wanted.folder.parent.parent / "current" / "kernel"
    irkernel.write_kernel(wanted.folder / "kernel", current, wanted.name, shown, program, r, [str(library)])
    imports = config.imports if config.imports is not None else tuple(names)
    return Made(library, f"R {r.version}", dict(now.packages), imports, irkernel.IMPORTING)


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Return every package that is installed with version and hash, in the form of an `renv.lock`."""
    if problems := check(config, site):
        raise ConfigError(problems)
    r = irkernel.ask(Path(config.program), "packages")
    repository = _repository(config, site, cache, "packages", tell)
    told = {
        one.name: {
            "Package": one.name,
            "Version": one.version,
            "Source": "Repository",
            _HASH: _sha256(repository.fetch(one)),
        }
        for one in resolve(_asked(config, r), r.packages, r.version, repository, "packages")
    }
    return json.dumps({"R": {"Version": r.version}, "Packages": told}, indent=1, sort_keys=True) + "\n"


def _is_systems(program: Path) -> bool:
    return program == Path("/usr/bin/R")


def _is_folder(config: Config) -> bool:
    return config.repository.startswith(("/", "."))


def _repository(config: Config, site: Site, cache: Path, where: str, tell: Tell) -> Repository:
    place = named.beside(site, config.repository) if _is_folder(config) else config.repository
    return Repository(place, cache, where, tell)


def _asked(config: Config, r: irkernel.R) -> list[Need]:
    """Return what is asked for: `packages`, and the kernel where that R has none."""
    asked = [read_need(text) for text in config.packages]
    has_kernel = irkernel.KERNEL in {*r.packages, *(one.name for one in asked)}
    return asked if has_kernel else [Need(irkernel.KERNEL), *asked]


def _read_lock(text: str, r: irkernel.R, where: str) -> dict[str, dict[str, Any]]:
    try:
        told = json.loads(text)
        version, packages = str(told["R"]["Version"]), dict(told["Packages"])
        for name, one in packages.items():
            read_need(f"{name}=={one['Version']}")
    except (ValueError, KeyError, TypeError) as error:
        raise MachineError(f"the lock cannot be read: {error}.", where=where) from error
    if version.split(".")[:2] != r.version.split(".")[:2]:
        raise Refused(f"the lock was made with R {version}, and this is R {r.version}.", where=where)
    return packages


def _install(program: Path, bench: Path, archives: Sequence[Path], site: Site, where: str, tell: Tell) -> None:
    """Have R install archives into `library` below `bench`, one after the other.

    Their authors' programs run: as the account without rights, and on a leash.

    Raises:
        MachineError: one of them does not install.
    """
    library, home = bench / "library", bench / "home"
    for folder in (library, home):
        folder.mkdir(mode=0o755)
        if site.privileged:
            os.chown(folder, bench.stat().st_uid, bench.stat().st_gid)
    copies = [home / archive.name for archive in archives]
    for archive, copy in zip(archives, copies, strict=True):
        copy.write_bytes(archive.read_bytes())  # the cache is not for that account
    if not copies:
        return
    env = irkernel.environment(library)
    env |= {"HOME": str(home), "TMPDIR": str(home), "MAKEFLAGS": f"-j{os.cpu_count() or 1}"}
    install = [str(program), "CMD", "INSTALL", f"--library={library}", *map(str, copies)]
    command = [sys.executable, "-I", "-m", leash.__name__, str(_LONGEST), *install]
    said: list[str] = []
    left = _left(bench)
    who = trying.identity() | {"stdin": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=home, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **who
    ) as process:
        assert process.stdout
        for line in process.stdout:
            said.append(line.rstrip())
            left = min(left, _left(bench))  # now, since R removes what it could not finish
            if found := _INSTALLING.match(line):
                tell(f"Installing {found[1]}")
        process.wait()
    if process.returncode == leash.TIME_IS_UP:
        raise MachineError(f"R took longer than {_LONGEST / 3600:.0f} hours to install what it needs.", where=where)
    if process.returncode:
        full = "No space left on device. R says: " if left < _FULL else ""
        raise MachineError(f"R cannot install what it needs: {full}{_why(said)}", where=where)


def _left(folder: Path) -> int:
    """Return how many bytes, or none for lack of inodes, the account without rights may still write to a disk."""
    found = os.statvfs(folder)
    return 0 if found.f_files and not found.f_favail else found.f_bavail * found.f_frsize


def _why(said: list[str]) -> str:
    """Return R's reason: its last errors, which follow what the compiler said."""
    lines = [line for line in said if line.strip() and not line.startswith(("* ", "** "))]
    errors = [line for line in lines if re.search(r"(?i)error|no space|not found|cannot", line)]
    return printable(" ".join((errors or lines)[-3:]).strip()[-700:]) or "it ended without a word."


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
