"""uv's commands: make an environment, install into it, lock it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hubwright.envs import Made, Tell, Wanted, bytecode, marks, named, python, taking, trying, uvs
from hubwright.envs.uv.config import Config
from hubwright.errors import ConfigError, Problem
from hubwright.fields import Site
from hubwright.machine import files

_ALWAYS = ("ipykernel", "pip")
"""What a kernel needs, and what `%pip install` is."""
_FILE = "requirements.txt"
_LOOKING = "Looking for packages that fit together"
_LOCK = ".lock"
"""What uv holds while it changes a folder, and leaves there for everybody to write into."""
_OTHERS = re.compile(r"PYTHON|VIRTUAL_ENV$|CONDA")
_WHERE = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_PYTHON_INSTALL_DIR"}
"""What authors' programs are told of where packages are; a password in it, too. No other setting of root's."""


def check(config: Config, site: Site) -> list[Problem]:
    """Return what keeps uv from being run, or files that are not there."""
    found = [*uvs.missing("kind"), *_python_problems(config.python, site)]
    if config.find_links:
        found += named.folder_problems(site, "find_links", config.find_links)
    try:
        sources(config, site)
    except ConfigError as error:
        found += error.problems
    if config.requirements:
        found += named.others_may_change(site, "requirements", config.requirements)
    return found


def _python_problems(path: str | None, site: Site) -> list[Problem]:
    if path is None or not path.startswith("/"):
        return []
    if not os.access(path, os.X_OK):
        return [Problem("python", f"{path} is no program.", "Name the path of a Python that is there, or a version.")]
    return named.others_may_change(site, "python", path)


def sources(config: Config, site: Site) -> dict[str, str]:
    """Return the text of the file of requirements.

    Raises:
        ConfigError: it cannot be read.
    """
    if config.requirements is None:
        return {}
    return {config.requirements: named.read(site, "requirements", config.requirements)}


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Make the environment in `prefix` of the version's folder."""
    prefix = wanted.folder / "prefix"
    where = f"environments.{wanted.name}"
    if problems := check(config, wanted.site):  # before uv, as root, runs the Python that is named
        raise ConfigError([replace(one, where=f"{where}.{one.where}") for one in problems])
    run = _Uv(config, wanted.site, wanted.cache, where, tell)
    tell(_LOOKING)
    run("venv", *_python(config), "--prompt", wanted.name, str(prefix))
    listed = wanted.folder / _FILE
    listed.touch(mode=0o600)  # it may hold the password of an index
    listed.write_text(wanted.lock or _listed(config, wanted.site))
    exact = ["--require-hashes"] if wanted.lock else []
    interpreter = prefix / "bin" / "python"
    words = ["pip", "install", "--python", str(interpreter), *exact, *run.flags]
    if config.from_source:
        with taking.bench(wanted.folder, wanted.site) as bench, uvs.written([listed.read_text()]) as text:
            run.apart(bench, *words, "--prefix", str(bench / "made"), "--requirements", text)
            taking.take(bench / "made", prefix)
    else:
        run(*words, "--requirements", str(listed))
    (prefix / _LOCK).unlink(missing_ok=True)
    found = python.ask(interpreter, where)
    tell("Compiling what is Python")
    bytecode.compile_below(interpreter, prefix / f"lib/python{found.minor}/site-packages", wanted.folder, wanted.site)
    marks.for_pip(prefix, wanted.name)
    imports = config.imports
    if imports is None:
        imports = tuple(python.modules_of(interpreter, [*map(uvs.name_of, config.packages)]))
    current = wanted.folder.parent.parent / "current" / "kernel"
    python.write_kernel(wanted.folder / "kernel", current, wanted.name, config.display or wanted.name, prefix, found)
    return Made(prefix, found.version, found.packages, imports)


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Return every package with version and hash, for this kind of machine."""
    if problems := check(config, site):
        raise ConfigError(problems)
    run = _Uv(config, site, cache, "packages", tell)
    tell(_LOOKING)
    with tempfile.TemporaryDirectory() as folder:
        words = ["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", *run.flags]
        if config.from_source:
            place = Path(folder)
            trying.show(place)
            prefix = place / "prefix"
            run("venv", *_python(config), str(prefix))  # fetches that Python, which the account may not
            with taking.bench(place, site) as bench, uvs.written([_listed(config, site)]) as text:
                told = run.apart(bench, *words, "--python", str(prefix / "bin" / "python"), text)
        else:
            listed = Path(folder) / "requirements.in"
            listed.write_text(_listed(config, site))
            told = run(*words, *_python(config), str(listed))
        folders = [named.beside(site, config.find_links)] if config.find_links else []
        return uvs.with_hashes(told, folders, "packages")


def _python(config: Config) -> list[str]:
    if config.managed:
        return ["--managed-python", "--python", config.python or "{}.{}".format(*sys.version_info[:2])]
    return ["--python", config.python or sys.executable]


def _listed(config: Config, site: Site) -> str:
    return "\n".join([*_ALWAYS, *config.packages, *sources(config, site).values(), ""])


class _Uv:
    """Runs uv with what an entry says."""

    def __init__(self, config: Config, site: Site, cache: Path, where: str, tell: Tell) -> None:
        self.where, self.tell = where, tell
        self.env = {name: value for name, value in os.environ.items() if not _OTHERS.match(name)}
        self.env |= {
            "UV_CACHE_DIR": str(cache / "uv"),
            "UV_PYTHON_INSTALL_DIR": str(cache.parent / ".python"),
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
            "UV_SYSTEM_CERTS": "1",  # those of the machine, where an institute adds its own
        }
        if site.privileged:  # it runs every Python that it meets, and nobody else could run one in root's home
            folders = os.get_exec_path(self.env)
            self.env["PATH"] = os.pathsep.join(one for one in folders if not files.weak_component(Path(one)))
        self.flags = [] if config.from_source else ["--no-build"]
        if config.index:
            self.env["UV_DEFAULT_INDEX"] = config.index  # not as a word: it may hold a password
        if config.find_links:
            self.flags += ["--find-links", str(named.beside(site, config.find_links))]
            self.flags += [] if config.index else ["--no-index"]

    def __call__(self, *words: str) -> str:
        """Run a command of uv to its end; return what it printed."""
        try:
            return uvs.run([uvs.program(), *words], self.env, self.where, self.tell)[0]
        finally:
            with suppress(FileNotFoundError):
                Path(self.env["UV_PYTHON_INSTALL_DIR"], _LOCK).chmod(0o600)

    def apart(self, bench: Path, *words: str) -> str:
        """As a call, as the account without rights, which keeps all in `bench`: authors' programs run."""
        told = {name: value for name, value in self.env.items() if name in _WHERE}
        return uvs.run_apart(words, told | uvs.environment_in(bench), self.where, self.tell)[0]
