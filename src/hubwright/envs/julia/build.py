"""Julia's steps: install, make the image, precompile; each by the account without rights. Then root takes it over."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hubwright.envs import Made, Tell, Wanted, named, taking
from hubwright.envs.julia import depot, inputs, launching, lockfile, program
from hubwright.envs.julia.config import Config
from hubwright.envs.julia.packages import Package
from hubwright.envs.julia.running import Julia
from hubwright.errors import ConfigError, MachineError
from hubwright.fields import Site

_ALWAYS = "IJulia"


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Make the depot, in `depot` of the version's folder, and a `bin/julia` that everybody may run.

    Raises:
        ConfigError: a folder that is named is no package, or is another's.
        MachineError: Julia cannot be had, or says why it cannot install, precompile or make the image.
    """
    where, folder = f"environments.{wanted.name}", wanted.folder
    if problems := inputs.check(config, wanted.site):
        raise ConfigError([replace(one, where=f"{where}.{one.where}") for one in problems])
    found, version = program.find(config, wanted.site, where, tell)
    before = folder.parent.parent / "current" / "depot"
    made = launching.Place(folder, wanted.name, found, config.sysimage, config.pkg_server)
    depot.begin(made.depot, before, wanted.site)
    with _julia(config, wanted.site, found, made.depot, where, tell) as julia:
        told = _install(config, julia, wanted)
        packages = {name: number for _, name, number in told["package"]}
        direct = [name for (_, name) in told["direct"] if name != _ALWAYS]
        if config.sysimage:
            _make_image(config, julia, wanted.site, made.image, packages)
        image = [f"--sysimage={made.image}"] if config.sysimage else []
        tell("Precompiling the packages")
        julia.run("precompile.jl", [], *image)
    depot.take_over(made.depot, wanted.site, tell)
    launching.write(made, config.display or wanted.name)
    return Made(folder, version, packages, tuple(direct if config.imports is None else config.imports))


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Return Project.toml and Manifest.toml of what would be installed now, in one text."""
    if problems := inputs.check(config, site):
        raise ConfigError(problems)
    found, _ = program.find(config, site, "environments", tell)
    with tempfile.TemporaryDirectory(prefix=".lock-", dir=site.environments) as folder:
        place = Path(folder)
        place.chmod(0o755)
        depot.begin(place / "depot", None, site)
        with _julia(config, site, found, place / "depot", "packages", tell) as julia:
            _install(config, julia, Wanted("lock", place, site, cache, ""))
        taking.take(place / "depot" / "environments" / launching.ENVIRONMENT, place / "taken")
        return lockfile.pack(place / "taken", place)


def _install(config: Config, julia: Julia, wanted: Wanted) -> dict[str, list[list[str]]]:
    """Install what is asked for, or exactly what the lock says; return what is there then."""
    asked = [["registry", _path_or(wanted.site, text)] for text in config.registries]
    for package in map(Package.parse, config.packages):
        if package.way == "folder":
            source = named.beside(wanted.site, package.what)
            copy = wanted.folder / "folders" / inputs.name_of(source)
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            taking.make_plain(wanted.folder / "folders")
            asked.append(["folder", str(copy)])
        else:
            asked.append([package.way, package.what, package.version])
    if wanted.lock:
        lockfile.unpack(wanted.lock, wanted.folder / "locked", wanted.folder)
        asked.append(["locked", str(wanted.folder / "locked")])
    return julia.run("install.jl", asked)


def _make_image(config: Config, julia: Julia, site: Site, image: Path, packages: dict[str, str]) -> None:
    if missing := [name for name in config.sysimage if name not in packages]:
        raise MachineError(
            f"{', '.join(missing)} cannot become part of the image: not installed.",
            where=f"{julia.where}.sysimage",
            remedy="Add it to `packages`, or take it out of `sysimage`.",
        )
    asked = [["image", name] for name in dict.fromkeys([_ALWAYS, *config.sysimage])]
    asked += [["target", config.cpu_target], ["path", str(image)], ["compiler", inputs.compiler() or "cc"]]
    if config.warm_up:
        copy = image.parent.parent / "warm_up.jl"
        copy.write_text(named.read(site, "warm_up", config.warm_up))
        asked.append(["warm up", str(copy)])
    julia.run("image.jl", asked)


def _path_or(site: Site, text: str) -> str:
    return str(named.beside(site, text)) if text.startswith(("/", "./", "../")) else text


@contextmanager
def _julia(config: Config, site: Site, found: Path, place: Path, where: str, tell: Tell) -> Iterator[Julia]:
    """Give what runs Julia on a depot, with a home that is gone afterwards."""
    with taking.bench(place.parent, site) as home:
        env = {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "JULIA_DEPOT_PATH": f"{place}:",
            "JULIA_PROJECT": str(place / "environments" / launching.ENVIRONMENT),
            "JULIA_PKG_PRECOMPILE_AUTO": "0",
            "JULIA_CPU_TARGET": config.cpu_target,
        }
        if config.pkg_server is not None:
            env["JULIA_PKG_SERVER"] = config.pkg_server
        yield Julia(found, env, where, tell)
