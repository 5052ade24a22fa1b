"""A conda environment: solved and linked by `worker`, made readable, and given its kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubwright.envs import Made, Tell, Wanted, bytecode, irkernel, marks, named, python, taking, trying, uvs
from hubwright.envs.conda import activation, passwords
from hubwright.envs.conda.config import Config
from hubwright.envs.conda.environment_file import EnvironmentFile, parse
from hubwright.envs.conda.pip import Pip, locked
from hubwright.errors import ConfigError, MachineError, Problem, printable
from hubwright.fields import Site

_ALWAYS = {"python": ("python", "ipykernel", "pip"), "r": ("r-base", "r-irkernel")}
"""What a kernel needs, and what `%pip install` is."""
_DEFAULT = "conda-forge"
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
"""What conda calls `defaults`."""
_HUB = "$HUB/"
"""In a lock: the folder of hub.yaml, which need not be the same on two machines."""
_NAME = re.compile(r"(?:[^:]*::)?([A-Za-z0-9_.-]+?)(?:[ =<>!~\[].*)?")
_DISTRIBUTION = re.compile(r"(?:.*/)?site-packages/([^/]+?)-[^/-]+\.(?:dist|egg)-info/[^/]+")
_PASSWORD = re.compile(r"//[^/@\s]+@")


def check(config: Config, site: Site) -> list[Problem]:
    """Return what keeps py-rattler from being run, or files and folders that are not there."""
    found = []
    if find_spec("rattler") is None:
        found.append(
            Problem("kind", "needs the package py-rattler.", "Install it beside Hubwright: pip install py-rattler.")
        )
    try:
        told = _file(config, site)
    except ConfigError as error:
        return [*found, *error.problems]
    for path in (config.file, *_beside(config, told)) if config.file else ():
        found += named.others_may_change(site, "file", path)
    if told.pip or told.pip_files:
        found += uvs.missing("file")
    if (told.pip or told.pip_files) and config.kernel != "python":
        found.append(Problem("file", "has packages of pip, which are for Python.", "Leave them out with `kernel: r`."))
    for channel in _channels(config, told):
        if _is_folder(channel):
            found += named.folder_problems(site, "channels", channel)
    return found


def sources(config: Config, site: Site) -> dict[str, str]:
    """Return the text of the environment file, and of the files of requirements that it names.

    Raises:
        ConfigError: one cannot be read, or understood.
    """
    files = [config.file, *_beside(config, _file(config, site))] if config.file else []
    return {path: named.read(site, "file", path) for path in files}


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Make the environment in `prefix` of the version's folder."""
    where, prefix, site = f"environments.{wanted.name}", wanted.folder / "prefix", wanted.site
    _refuse(config, site, where)
    told = _file(config, site)
    lock = wanted.lock or _solve(config, told, site, wanted.cache, where, tell)
    lock = passwords.without(lock.replace(_HUB, f"{_base(site)}/"))
    _, opens = passwords.apart(_channels(config, told), where)
    packages = _link(lock, opens, prefix, wanted.cache, where, tell)
    marks.for_conda(prefix, wanted.name)
    variables = {"CONDA_PREFIX": str(prefix), **activation.variables(prefix), **told.variables}
    shown = config.display or wanted.name
    current = wanted.folder.parent.parent / "current" / "kernel"
    if config.kernel == "r":
        program = prefix / "bin" / "R"
        r = irkernel.ask(program, where)
        irkernel.write_kernel(wanted.folder / "kernel", current, wanted.name, shown, program, r, variables=variables)
        loaded = [name.removeprefix("r-") for name in _names(config) if name.startswith("r-") and name != "r-base"]
        known = {name.lower(): name for name in r.packages}
        found = config.imports if config.imports is not None else [known[name] for name in loaded if name in known]
        return Made(prefix, f"R {r.version}", packages, tuple(found), irkernel.IMPORTING)
    interpreter = prefix / "bin" / "python"
    asked = python.ask(interpreter, where)
    if listed := _pips(config, told, site):
        with taking.bench(wanted.folder, site) as bench:
            pip = Pip(bench, prefix, listed, where, tell)
            pip.install(locked(lock) if wanted.lock else pip.choose(asked.packages), prefix, exact=bool(wanted.lock))
        before, asked = asked.packages, python.ask(interpreter, where)
        packages |= {name: version for name, version in asked.packages.items() if name not in before}
    tell("Compiling what is Python")
    bytecode.compile_below(interpreter, prefix / f"lib/python{asked.minor}/site-packages", wanted.folder, site)
    marks.for_python(prefix, asked.minor, wanted.name)
    imports = config.imports
    if imports is None:
        brought = [*_distributions(prefix, _names(config)), *map(uvs.name_of, told.pip)]
        imports = tuple(python.modules_of(interpreter, brought, where))
    python.write_kernel(wanted.folder / "kernel", current, wanted.name, shown, prefix, asked, variables)
    return Made(prefix, asked.version, packages, imports, variables=variables)


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Return every package with address and hash, as a lock file of rattler and pixi, for this kind of machine.

    Those of pip are comments in it.
    """
    _refuse(config, site, "packages")
    told = _file(config, site)
    text = _solve(config, told, site, cache, "packages", tell)
    listed = _pips(config, told, site)
    _, opens = passwords.apart(_channels(config, told), "packages")
    return text + (_lock_pips(text, opens, listed, site, cache, tell) if listed else "")


def _lock_pips(lock: str, opens: passwords.Passwords, listed: list[str], site: Site, cache: Path, tell: Tell) -> str:
    """Return the lines of a lock for pip's packages, which are chosen for what conda's lock links."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=site.environments) as folder:
        place = Path(folder)
        trying.show(place)
        prefix = place / "prefix"
        _link(lock.replace(_HUB, f"{_base(site)}/"), opens, prefix, cache, "packages", tell)
        there = python.ask(prefix / "bin" / "python", "packages").packages
        with taking.bench(place, site) as bench:
            pip = Pip(bench, prefix, listed, "packages", tell)
            return pip.lock(pip.choose(there)).replace(f"{_base(site)}/", _HUB)


def _link(lock: str, opens: passwords.Passwords, prefix: Path, cache: Path, where: str, tell: Tell) -> dict[str, str]:
    """Put what a lock names into `prefix`, readable by all; return names and versions."""
    request = {"do": "link", "lock": lock, "passwords": opens, "prefix": str(prefix), "cache": str(_folder(cache))}
    packages: dict[str, str] = _ask(request, where, tell)["linked"]
    taking.make_plain(prefix)
    return packages


def _refuse(config: Config, site: Site, where: str) -> None:
    if problems := check(config, site):
        raise ConfigError([replace(one, where=f"{where}.{one.where}") for one in problems])


def _file(config: Config, site: Site) -> EnvironmentFile:
    if config.file is None:
        return EnvironmentFile()
    return parse(named.read(site, "file", config.file), named.beside(site, config.file))


def _beside(config: Config, told: EnvironmentFile) -> list[str]:
    """Return the files of requirements, named from the folder of hub.yaml as the environment file is."""
    return [str(Path(config.file or "").parent / name) for name in told.pip_files]


def _pips(config: Config, told: EnvironmentFile, site: Site) -> list[str]:
    """Return the lines of pip's part, those of the files that it names included."""
    read = [named.read(site, "file", path) for path in _beside(config, told)]
    return [*told.pip, *(line for text in read for line in text.splitlines())]


def _channels(config: Config, told: EnvironmentFile) -> tuple[str, ...]:
    listed = config.channels or told.channels or (_DEFAULT,)
    return tuple(one for channel in listed for one in (_DEFAULTS if channel == "defaults" else (channel,)))


def _is_folder(channel: str) -> bool:
    return channel.startswith(("/", "."))


def _names(config: Config) -> list[str]:
    """Return the bare names of what `packages` lists."""
    return [found[1].lower() for package in config.packages if (found := _NAME.fullmatch(package))]


def _distributions(prefix: Path, packages: list[str]) -> list[str]:
    """Return the Python distributions that come with conda packages: `torch` for `pytorch`."""
    found: set[str] = set()
    for path in (prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_text())
        if record["name"] in packages:
            found |= {match[1] for one in record["files"] if (match := _DISTRIBUTION.fullmatch(one))}
    return sorted(found)


def _solve(config: Config, told: EnvironmentFile, site: Site, cache: Path, where: str, tell: Tell) -> str:
    listed, opens = passwords.apart(_channels(config, told), where)
    channels = [
        named.beside(site, channel).resolve().as_uri() if _is_folder(channel) else channel for channel in listed
    ]
    specs = [*_ALWAYS[config.kernel], *told.packages, *config.packages]
    request = {"do": "solve", "specs": specs, "channels": channels, "passwords": opens, "cache": str(_folder(cache))}
    text: str = _ask(request, where, tell)["lock"]
    return text.replace(f"{_base(site)}/", _HUB)


def _base(site: Site) -> Path:
    return named.beside(site, ".").resolve()


def _folder(cache: Path) -> Path:
    return cache / "conda"


def _ask(request: Mapping[str, Any], where: str, tell: Tell) -> dict[str, Any]:
    """Have the worker do something; return its last word.

    Raises:
        MachineError: it could not be done, in conda's words.
    """
    command = [sys.executable, "-I", "-m", "hubwright.envs.conda.worker"]
    last: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, cwd="/"
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                last = json.loads(line)
                if "step" in last:
                    tell(last["step"])
        except BaseException:
            process.kill()
            raise
        said.seek(0)
        words = said.read().strip()[-500:]
    if "wrong" in last or "step" in last or not last:
        wrong = last.get("wrong") or words or "py-rattler ended without a word."
        raise MachineError(_PASSWORD.sub("//...@", _in_one_line(wrong)), where=where)
    return last


def _in_one_line(text: str) -> str:
    """Return rattler's reason, which is a tree of lines, in one."""
    lines = [line.strip(" │├─└╰▶>") for line in text.splitlines()]
    return printable(" ".join(line for line in lines if line))[:1500]
