"""Where a user's own packages for an environment, or Hubwright's own, are, and how a forked kernel comes to see them.

An executed kernel runs the user's virtual environment on top of the shared one; a forked one is told that it does.
"""

from __future__ import annotations

import multiprocessing.spawn
import os
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.engines.local import preload

KERNEL = "HUBWRIGHT_OWN_KERNEL"
"""The variable that names the kernelspec of Hubwright's own environment."""
SCRIPT = "launch"
"""What executes a kernel there, and tells how."""
_BRIDGE = "_hubwright.pth"
"""What leads from the user's packages to the shared ones."""
_AT_START = {"sitecustomize", "usercustomize"}


@dataclass(frozen=True)
class Space:
    """What the script that executes a kernel would execute, and with which environment."""

    python: str
    environment: dict[str, str]

    @property
    def prefix(self) -> str:
        """The user's virtual environment; the shared one's folder where the home takes nothing."""
        return self.environment["VIRTUAL_ENV"]

    def suits(self, folder: str) -> bool:
        """Whether a fork gives the kernel that executing would; `folder` is where it is to run."""
        try:
            return not self.hides() and not has_settings(self.environment, folder)
        except OSError:  # a folder of his that he may not read, or that is not there
            return False

    @property
    def packages(self) -> Path:
        """Where the user's own packages are."""
        return packages_in(self.prefix)

    def hides(self) -> bool:
        """Whether something there would be imported, or run, in place of what was imported before the fork."""
        if str(self.packages) in sys.path:
            return False
        names = {name for name in os.listdir(self.packages) if not name.endswith(".dist-info")} - {_BRIDGE}  # noqa: PTH208
        if any(name.endswith(".pth") for name in names):
            return True
        modules = {name.split(".")[0] for name in names}
        return any(
            name in sys.modules or name in _AT_START for name in modules
        )  # a set of all would copy 3 MB of pages


def packages_in(prefix: str) -> Path:
    """Return where a virtual environment of this Python has its packages."""
    return Path(prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")


def look(launch: str, env: Mapping[str, str], folder: str) -> Space | None:
    """Ask the environment's script, which makes the user's space where there is none; None when it does not say.

    A user who may not read the environment may not run its script either.
    """
    try:
        done = subprocess.run(
            [launch, "--tell"], env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=5
        )
        python, *rest = os.fsdecode(done.stdout).split("\0")[:-1]
        environment = dict(one.split("=", 1) for one in rest)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Space(python, environment) if "VIRTUAL_ENV" in environment else None


def has_settings(env: Mapping[str, str], folder: str) -> bool:
    """Whether the user has settings that matplotlib would have read when it was imported."""
    if "matplotlib" not in sys.modules:
        return False
    home = Path(env.get("HOME", "/"))
    settings = Path(env.get("XDG_CONFIG_HOME") or home / ".config", "matplotlib")
    places = [settings / "matplotlibrc", settings / "stylelib", Path(folder, "matplotlibrc")]
    if "matplotlib.font_manager" in sys.modules:
        places += [home / ".fonts", Path(env.get("XDG_DATA_HOME") or home / ".local/share", "fonts")]
    return any(path.exists() for path in places)


def move_in(space: Space, shared: str) -> None:
    """Be a kernel of the user's virtual environment, in whatever was computed from the shared one's folder."""
    before = sys.prefix
    sys.executable = space.python
    multiprocessing.spawn.set_executable(space.python)
    if space.prefix != before and str(space.packages) not in sys.path:
        sys.path.insert(sys.path.index(shared), str(space.packages))
        sys.prefix = sys.exec_prefix = space.prefix
        _move_sysconfig(space.prefix)
        site.PREFIXES = [space.prefix] * 2
        site.ENABLE_USER_SITE = False
        _move_folders(before, space.prefix)
    preload.thaw_home()
    tempfile.tempdir = None
    _thaw_matplotlib()


def _move_sysconfig(prefix: str) -> None:
    """Have `sysconfig` answer for a virtual environment; where a Python was none, Debian's has other folders."""
    for name in ("_PREFIX", "_EXEC_PREFIX"):
        if hasattr(sysconfig, name):
            setattr(sysconfig, name, prefix)
    if default := getattr(sysconfig, "get_default_scheme", None):
        for function in (sysconfig.get_path, sysconfig.get_paths):
            function.__defaults__ = (default(), *(function.__defaults__ or ())[1:])


def _move_folders(before: str, prefix: str) -> None:
    """Name the user's folders of settings where Jupyter and IPython named the shared environment's."""
    for module, name in (
        ("jupyter_core.paths", "ENV_JUPYTER_PATH"),
        ("jupyter_core.paths", "ENV_CONFIG_PATH"),
        ("IPython.core.application", "ENV_CONFIG_DIRS"),
    ):
        folders: Any = getattr(sys.modules.get(module), name, [])
        folders[:] = [prefix + one[len(before) :] if one.startswith(f"{before}/") else one for one in folders]


def _thaw_matplotlib() -> None:
    """Let matplotlib look for the user's folders, which it remembers since it was imported."""
    matplotlib: Any = sys.modules.get("matplotlib")
    if matplotlib is None or not hasattr(matplotlib, "_logged_cached"):
        return
    for name, words in (("get_configdir", "CONFIGDIR=%s"), ("get_cachedir", "CACHEDIR=%s")):
        if found := getattr(getattr(matplotlib, name, None), "__wrapped__", None):
            setattr(matplotlib, name, matplotlib._logged_cached(words)(found))
    if style := sys.modules.get("matplotlib.style"):
        paths: Any = getattr(style, "USER_LIBRARY_PATHS", [])
        paths[:] = [os.path.join(matplotlib.get_configdir(), "stylelib")]  # noqa: PTH118 (a text, as there)
    tex: Any = getattr(sys.modules.get("matplotlib.texmanager"), "TexManager", None)
    for name in ("_cache_dir", "_texcache"):
        if hasattr(tex, name):
            old = getattr(tex, name)
            setattr(tex, name, type(old)(Path(matplotlib.get_cachedir(), Path(old).name)))
