"""What a Julia environment is made of, besides its section: folders of packages, an archive, a program to warm up."""

from __future__ import annotations

import os
import shutil
import stat
import tomllib
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

from hubwright.envs import named
from hubwright.envs.julia.config import Config
from hubwright.envs.julia.packages import Package
from hubwright.errors import ConfigError, Problem
from hubwright.fields import Site

COMPILERS = ("cc", "gcc", "clang")
_PLACES = "/usr/local/bin:/usr/bin:/bin:/opt/julia/bin"
_MOST = 200 * 2**20
"""The bytes that a package's folder may hold."""


def program_of(config: Config, site: Site) -> Path | None:
    """Return the Julia that is installed here, as `julia` names it or as it is found; None when there is none."""
    if config.julia is None:
        found = shutil.which("julia", path=_PLACES)
        return Path(found) if found else None
    path = named.beside(site, config.julia)
    path = path / "bin" / "julia" if path.is_dir() else path
    return path if os.access(path, os.X_OK) else None


def folders_of(config: Config, site: Site) -> list[tuple[str, Path]]:
    """Return the folders that `packages` names: the text and the path of each."""
    asked = map(Package.parse, config.packages)
    return [(one.what, named.beside(site, one.what)) for one in asked if one.way == "folder"]


def name_of(folder: Path) -> str:
    """Return the name of the package in a folder.

    Raises:
        ConfigError: it is none, or it cannot be read.
    """
    path = folder / "Project.toml"
    try:
        told = tomllib.loads(path.read_text())
        return f"{told['name']}" if "uuid" in told else _refuse(f"{path} has no uuid, so {folder} is no package.")
    except FileNotFoundError:
        return _refuse(f"{folder} is no package: it has no Project.toml.")
    except OSError as error:
        return _refuse(f"{path} cannot be read: {error.strerror}.")
    except KeyError:
        return _refuse(f"{path} has no name, so {folder} is no package.")
    except ValueError as error:
        return _refuse(f"{path} is no TOML: {error}.")


def check(config: Config, site: Site) -> list[Problem]:
    """Return what is missing, or could be changed by others than root."""
    found, names = [*_julia_problems(config, site)], set[str]()
    for text, folder in folders_of(config, site):
        if problems := named.folder_problems(site, "packages", text):
            found += problems
            continue
        try:
            name = name_of(folder)
            _digest(folder, site)
            found += [Problem("packages", f"two folders hold the package {name}.")] if name in names else []
            names.add(name)
        except ConfigError as error:
            found += error.problems
    for text in config.registries:
        if text.startswith(("/", "./", "../")):
            found += named.folder_problems(site, "registries", text)
    if config.sysimage and not compiler():
        what = f"needs a C compiler: {', '.join(COMPILERS[:-1])} or {COMPILERS[-1]}."
        found.append(Problem("sysimage", what, "Install one: apt-get install gcc."))
    if config.warm_up:
        try:
            named.read(site, "warm_up", config.warm_up)
            found += named.others_may_change(site, "warm_up", config.warm_up)
        except ConfigError as error:
            found += error.problems
    return found


def sources(config: Config, site: Site) -> dict[str, str]:
    """Return a digest of each folder of packages, and the text of the warm-up; the same on every machine.

    Raises:
        ConfigError: one cannot be read.
    """
    found = {text: _digest(folder, site) for text, folder in folders_of(config, site)}
    return found | ({"warm_up": named.read(site, "warm_up", config.warm_up)} if config.warm_up else {})


def compiler() -> str | None:
    """Return the C compiler of this machine."""
    return next(filter(None, map(partial(shutil.which, path=os.defpath), COMPILERS)), None)


def _julia_problems(config: Config, site: Site) -> Iterator[Problem]:
    if config.comes_as == "address":
        return
    if config.comes_as == "archive":
        assert config.julia
        path = named.beside(site, config.julia)
        if not path.is_file():
            yield Problem("julia", f"{path} is not there.")
            return
        yield from named.others_may_change(site, "julia", config.julia) if config.sha256 is None else ()
        return
    program = program_of(config, site)
    if program is None:
        what = f"{config.julia} is no program." if config.julia else "this machine has no julia."
        remedy = "Name the path of one, an archive, or an address with its `sha256` (julialang.org has them)."
        yield Problem("julia", what, remedy)
    else:
        yield from named.others_may_change(site, "julia", str(program))


def _digest(folder: Path, site: Site) -> str:
    """Return what tells a folder's files from others; `ConfigError` when it cannot be shared."""
    found, left = sha256(), _MOST
    try:
        for path in _files(folder):
            told = path.lstat()
            if site.privileged and (told.st_uid or (told.st_mode & 0o022 and not path.is_symlink())):
                _refuse(f"{path} can be changed by others than root: whoever can decides what everybody runs.")
            left -= told.st_size
            if left < 0:
                _refuse(f"{folder} holds more than {_MOST >> 20} MiB.")
            if stat.S_ISREG(told.st_mode):
                content = path.read_bytes()
                found.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    except OSError as error:
        _refuse(f"{error.filename or folder} cannot be read: {error.strerror}.")
    return found.hexdigest()[:32]


def _files(folder: Path) -> Iterator[Path]:
    """Yield what is below, in an order that is always the same; nothing of git's."""

    def complain(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=complain):
        folders[:] = sorted(name for name in folders if name != ".git")
        yield Path(place)
        yield from (Path(place) / name for name in sorted(names))


def _refuse(what: str) -> str:
    raise ConfigError([Problem("packages", what)])
