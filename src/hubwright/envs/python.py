"""The kernel of a Python environment: its kernelspec, and the script that starts it with a folder of the user's own."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.envs import kernelspec, trying
from hubwright.errors import MachineError, printable

_ENV = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
_MINOR = re.compile(r"3\.[0-9]{1,3}")
_ASK = """
import json, sys, importlib.metadata as m
told = {"version": "%d.%d.%d" % sys.version_info[:3], "home": sys.base_prefix, "base": sys._base_executable,
        "minor": "%d.%d" % sys.version_info[:2], "venv": sys.prefix != sys.base_prefix,
        "packages": {d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]}}
try:
    import ipykernel
except ImportError as error:
    told["missing"] = str(error)
print(json.dumps(told))
"""
_MODULES = """
import importlib.metadata as m, inspect, json, re, sys
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
wanted = {plain(name) for name in sys.argv[1:]}
def modules(package):  # as m.packages_distributions finds them, which Python 3.9 does not have
    files = [file for file in package.files or () if inspect.getmodulename(file.name)]
    inferred = (file.parts[0] if len(file.parts) > 1 else inspect.getmodulename(file.name) for file in files)
    return (package.read_text("top_level.txt") or "").split() or inferred
print(json.dumps(sorted({module for package in m.distributions() if plain(package.metadata["Name"] or "") in wanted
                         for module in modules(package) if module.isidentifier() and not module.startswith("_")})))
"""
_PRELOAD = """
import importlib, json, os, sys
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[variable] = "1"
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(json.dumps([name, "cannot be imported: %s." % error]))
        break
    if len(os.listdir("/proc/self/task")) != 1:
        print(json.dumps([name, "starts a thread when it is imported, so it cannot be imported before a fork."]))
        break
else:
    print("null")
"""
_LAUNCH = """#!/bin/sh
# Starts a kernel of the environment {name}, always of this version: a newer one takes the place of the link only.
# What `%pip install`, or `!pip install`, brings goes to a folder of the user's own, which stands before the shared one.
shared={shared}
own="${{XDG_DATA_HOME:-$HOME/.local/share}}/hubwright/environments/{name}-{minor}"
packages=$own/lib/python{minor}/site-packages
if {{ [ "$(readlink "$own/bin/python")" = {base} ] && [ -e "$own/pyvenv.cfg" ] && [ -e "$own/bin/pip" ] &&
  [ -r "$packages/_hubwright.pth" ] || (
    umask 077 && mkdir -p "$own" && cp -Rf {own}/. "$own" &&
    {{ mv "$own/pyvenv.cfg.new" "$own/pyvenv.cfg" || [ -e "$own/pyvenv.cfg" ]; }}  # another kernel was as quick
  ); }} 2>/dev/null && [ -x "$packages" ]; then
  python=$own/bin/python VIRTUAL_ENV=$own PATH="$own/bin:$shared/bin:$PATH"
else # a home that is full or cannot be written to, or a folder of root's in it
  python=$shared/bin/python VIRTUAL_ENV=$shared PATH="$shared/bin:$PATH"
  export PIP_PREFIX="$own" # pip says what is wrong there, and not that the shared folder is closed
fi
HUBWRIGHT_SHARED=$shared/lib/python{minor}/site-packages
export VIRTUAL_ENV PATH HUBWRIGHT_SHARED
{variables}[ "$1" != --try ] || {{ {there}; exec "$python" -c 'import ipykernel_launcher'; }}
[ "$1" != --tell ] || {{ printf '%s\\0' "$python"; exec env -0; }} # for a kernel that is forked
[ "$1" != --in ] || {{ shift; unset PIP_PREFIX; exec "$@"; }} # for a terminal, which lives longer
exec "$python" -m ipykernel_launcher "$@"
"""
_BRIDGE = "import os, site; site.addsitedir(os.environ.get('HUBWRIGHT_SHARED', {fallback!r}))\n"
"""Leads from the user's packages to the shared ones; in one line, as `site` runs it."""
_PIP = """#!/bin/sh
exec "${0%/*}/python" -m pip "$@"
"""


@dataclass(frozen=True)
class Interpreter:
    """What a Python says of itself."""

    version: str
    minor: str
    base: str
    """The program that it is a virtual environment of, or itself."""
    home: Path
    """The folder that this program and its library are in."""
    packages: Mapping[str, str]


def ask(python: Path, where: str) -> Interpreter:
    """Ask a Python what it is.

    Raises:
        MachineError: it does not run, or has no ipykernel.
    """
    told = _say(python, _ASK, where)
    minor = str(told.get("minor")) if isinstance(told, dict) else ""
    if not _MINOR.fullmatch(minor):  # a package may speak in its place, and root makes a path of this
        raise MachineError(f'{python} says of itself that it is Python "{printable(minor)}".', where=where)
    if "missing" in told:
        raise MachineError(
            f"{python} has no ipykernel, so notebooks cannot use it ({told['missing']}).",
            where=where,
            remedy=f"Install it there: {python} -m pip install ipykernel.",
        )
    return Interpreter(told["version"], minor, told["base"], Path(told["home"]), told["packages"])


def modules_of(python: Path, packages: Sequence[str], where: str = "") -> list[str]:
    """Return the top-level modules that come with packages, by the names of their distributions."""
    found: list[str] = _say(python, _MODULES, where, *packages)
    return found


def try_preload(python: Path, modules: Sequence[str], where: str, variables: Mapping[str, str]) -> None:
    """Import what kernels are to find imported, as an account without rights, with the environment's own variables.

    Raises:
        MachineError: one cannot be imported, or leaves a thread, and a process with two cannot fork safely.
    """
    if modules and (wrong := _say(python, _PRELOAD, where, *modules, variables=variables)):
        name, what = wrong
        raise MachineError(what, where=f"{where}: {name}", remedy="Install it, or take it off the list.")


def _say(python: Path, program: str, where: str, *words: str, variables: Mapping[str, str] | None = None) -> Any:
    """Return what a short program prints as JSON; what the environment adds to it runs as an account without rights."""
    command, env = [str(python), "-I", "-c", program, *words], {**(variables or {}), **_ENV}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, cwd="/", env=env, **trying.identity()
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        said = str(error)
    raise MachineError(f"{python} does not run: {printable(said)}.", where=where)


def write_kernel(
    folder: Path,
    current: Path,
    name: str,
    display: str,
    prefix: Path,
    found: Interpreter,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Write the kernelspec and the starting script of an environment into `folder`, which must not exist.

    What a user's own folder begins with lies there, too.

    Args:
        folder: the `kernel` folder of a version.
        current: the same folder by way of the link `current`, as kernelspecs name it.
        name: the environment's name.
        display: what people read.
        prefix: where its `bin/python` is.
        found: what that says of itself.
        variables: what else is set.
    """
    from ipykernel.kernelspec import RESOURCES

    script = _LAUNCH.format(
        name=name,
        minor=found.minor,
        shared=shlex.quote(str(prefix)),
        base=shlex.quote(found.base),
        there=kernelspec.there(found.base),
        own=shlex.quote(str(folder / "own")),
        variables=kernelspec.exports(variables or {}),
    )
    spec = {
        "argv": [str(current / kernelspec.SCRIPT), "-f", "{connection_file}"],
        "display_name": display,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {"debugger": True, "hubwright_environment": name},
    }
    kernelspec.write(folder, script, spec, [Path(RESOURCES)], (prefix, found.home))
    shared = current.parent / prefix.name if prefix.is_relative_to(folder.parent) else prefix
    _write_own(folder / "own", shared, found)


def _write_own(own: Path, shared: Path, found: Interpreter) -> None:
    """Write a virtual environment on top of the shared one, for users to copy; `pyvenv.cfg` gets its name last."""
    packages = f"lib/python{found.minor}/site-packages"
    for place in (own / "bin", own / packages):
        place.mkdir(mode=0o755, parents=True)
    for name, target in (("python", found.base), ("python3", "python"), ("pip3", "pip")):
        (own / "bin" / name).symlink_to(target)
    config = [f"home = {Path(found.base).parent}", "include-system-site-packages = false", f"version = {found.version}"]
    for name, text in (
        ("bin/pip", _PIP),
        (f"{packages}/_hubwright.pth", _BRIDGE.format(fallback=str(shared / packages))),
        ("pyvenv.cfg.new", "".join(f"{line}\n" for line in config)),
    ):
        (own / name).write_text(text)
        (own / name).chmod(0o755 if name == "bin/pip" else 0o644)
