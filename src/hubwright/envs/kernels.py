"""What kernels a user sees: the shared ones he may read, then his own, found without his registering them.

This runs in every server, so it imports nothing but what is there already, and looks at few files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import RESOURCES
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_core.paths import jupyter_data_dir
from traitlets import TraitError

from hubwright.envs import OFFERED

FOLDER = "HUBWRIGHT_ENVIRONMENTS"
"""The variable that names the folder of the shared environments."""
BROKEN = "hubwright_broken"
"""In a kernelspec's metadata: why it cannot start."""
OWN_KERNEL = "HUBWRIGHT_OWN_KERNEL"
"""The variable that names the kernelspec of Hubwright's own environment: `python3` where hub.yaml names no other."""
UNUSABLE = "HUBWRIGHT_UNUSABLE"
"""The variable that says which versions do not work where this runs: environment -> [its number, why]; as JSON."""
_FRESH = 5.0
_MOST = 400
"""How many folders of a home are looked at."""
_CONDAS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", ".local/share/mamba", ".conda")
_PYENV = ".pyenv/versions"
_PLACES = (
    ".",
    ".virtualenvs",
    ".venvs",
    *(f"{place}/envs" for place in _CONDAS),
    ".local/share/virtualenvs",
    ".cache/pypoetry/virtualenvs",
    _PYENV,
)
"""Those of virtualenvwrapper, conda and its kin, pipenv, poetry, pyenv."""
_PLACES_BELOW = (".venv", "venv", ".pixi/envs/default")
_LISTED_BY_CONDA = ".conda/environments.txt"
_LONGEST_LIST = 2**16
_NOT_PLAIN = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True)
class Kernel:
    """One that is listed."""

    name: str
    folder: Path
    """Where its kernelspec is, or the environment of a user's own."""
    spec: KernelSpec


class KernelSpecs(KernelSpecManager):
    """Lists shared kernels by hub.yaml and permission, registered ones, and environments of the user's own."""

    _found: dict[str, Kernel] | None = None
    _until = 0.0

    def find_kernel_specs(self) -> dict[str, str]:
        """Return every kernel's name and folder."""
        return {name: str(kernel.folder) for name, kernel in self._all().items()}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return one kernelspec; NoSuchKernel when there is none of the name."""
        if kernel := self._all().get(kernel_name) or self._all(anew=True).get(kernel_name):
            return kernel.spec
        raise NoSuchKernel(kernel_name)

    def get_all_specs(self) -> dict[str, Any]:
        """Return every kernelspec as the REST API gives it."""
        found = self._all(anew=True).items()
        return {name: {"resource_dir": str(one.folder), "spec": one.spec.to_dict()} for name, one in found}

    def _all(self, anew: bool = False) -> dict[str, Kernel]:
        if self._found is None or anew or time.monotonic() > self._until:
            self._found = {one.name: one for one in self._list()}
            self._until = time.monotonic() + _FRESH
        return self._found

    def _list(self) -> Iterator[Kernel]:
        """Yield them with the strongest last: nobody's own kernel stands before one that hub.yaml offers."""
        yield from own(Path.home())
        ours = {kernel.name: kernel for kernel in _shared()}
        taken = {NATIVE_KERNEL_NAME, *ours}
        if NATIVE_KERNEL_NAME not in ours:
            yield self._registered(NATIVE_KERNEL_NAME, _native())
        for name, folder in self._folders_of_registered().items():
            if name not in taken:
                yield self._registered(name, Path(folder))
        for name in sorted(taken):
            if os.path.exists(registered := Path(jupyter_data_dir(), "kernels", name)):  # noqa: PTH110 (Path's raises)
                yield self._registered(name, registered, f"own-{name}")
        yield from ours.values()

    def _folders_of_registered(self) -> dict[str, str]:
        """Return name -> folder as KernelSpecManager does, which raises for a place that may not be listed."""
        places = self.kernel_dirs
        listed = [place for place in places if os.access(place, os.R_OK | os.X_OK, effective_ids=True)]
        self.set_trait("kernel_dirs", listed)
        try:
            return KernelSpecManager.find_kernel_specs(self)
        finally:
            self.set_trait("kernel_dirs", places)

    def _registered(self, name: str, folder: Path, shown_as: str = "") -> Kernel:
        """Return a kernel that somebody registered, as broken when its program is gone."""
        return Kernel(shown_as or name, folder, _whole(name, self._read, name, folder))

    def _read(self, name: str, folder: Path) -> KernelSpec:
        try:
            spec = self._get_kernel_spec_by_name(name, str(folder))
        except NoSuchKernel:
            return _broken(name, "the kernel_provisioner that its kernel.json names is not installed")
        json.dumps(spec.to_dict(), allow_nan=False)  # a browser reads no NaN, and so no kernel beside it
        if not all(isinstance(word, str) for word in spec.argv):
            raise ValueError("argv is to be a list of texts")
        program = spec.argv[0] if spec.argv else ""
        if not shutil.which(program):
            return _broken(spec.display_name, f"{program or 'its program'} is gone")
        return spec


def _native() -> Path:
    """Return the folder of the kernel of Hubwright's own environment."""
    kept, installed = os.environ.get(OWN_KERNEL, ""), Path(sys.prefix, "share/jupyter/kernels", NATIVE_KERNEL_NAME)
    if kept and os.path.exists(f"{kept}/kernel.json"):  # noqa: PTH110 (Path's raises)
        return Path(kept)
    return installed if installed.exists() else Path(RESOURCES)


def _shared() -> Iterator[Kernel]:
    """Yield the environments of hub.yaml that this account may read."""
    if not (folder := os.environ.get(FOLDER)):
        return
    try:
        offered: dict[str, str] = json.loads((Path(folder) / OFFERED).read_text())
        unusable: dict[str, list[Any]] = json.loads(os.environ.get(UNUSABLE, "{}"))
    except (OSError, ValueError):
        return
    for name, display in offered.items():
        kernel = Path(folder) / name / "current" / "kernel"
        called = NATIVE_KERNEL_NAME if name == "default" else name
        try:
            spec = KernelSpec.from_resource_dir(str(kernel))
            spec.display_name = display
            number, why = unusable.get(name, (0, ""))
            if why and kernel.parent.readlink().name == str(number):
                spec = _broken(display, why)
        except PermissionError:
            continue
        except (OSError, ValueError, TypeError, TraitError) as error:
            reason = "it is not built yet" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error}"
            spec = _broken(display, reason)
        yield Kernel(called, kernel, spec)


def own(home: Path) -> Iterator[Kernel]:
    """Yield the environments in a home that run Python or R: venvs and conda environments, named by their folder."""
    taken: set[str] = set()
    for prefix in _environments(home):
        named = prefix.parent if prefix.name in {".venv", "venv", "default"} and prefix.parent != home else prefix
        shown = f"~/{named.relative_to(home)}"
        base = "own-" + (_NOT_PLAIN.sub("-", named.name.lower()).strip("-.") or "environment")[:60]
        name = next(name for n in range(1, _MOST + 2) if (name := base if n == 1 else f"{base}-{n}") not in taken)
        taken.add(name)
        display = f"{named.name} ({shown})"
        yield Kernel(name, prefix, _whole(display, _spec_of, prefix, display))


def _environments(home: Path) -> Iterator[Path]:
    """Yield prefixes, each once: folders with a `pyvenv.cfg` or a `conda-meta`; no links, and few things below one."""
    left = _MOST
    found: set[Path] = set()
    for place in _PLACES:
        for path in _folders(home / place):
            left -= 1
            if left < 0:
                return
            for prefix in _at(path, place):
                found.add(prefix)
                yield prefix
    for path in list(_listed_by_conda(home))[:left]:
        if path not in found and not _passes_links(home, path) and _is_environment(path):
            found.add(path)
            yield path


def _at(path: Path, place: str) -> Iterator[Path]:
    """Yield the environments that a folder of a place is, or holds."""
    if _is_environment(path):
        yield path
    elif place == ".":
        yield from (path / name for name in _PLACES_BELOW if _is_environment(path / name))
    elif place == _PYENV:  # the virtual environments of one of its Pythons
        yield from filter(_is_environment, _folders(path / "envs"))


def _listed_by_conda(home: Path) -> Iterator[Path]:
    """Yield what conda's list of environments names below the home, whether it is there or not."""
    try:
        with open(home / _LISTED_BY_CONDA, encoding="utf-8", errors="replace", opener=_without_waiting) as file:
            lines = file.read(_LONGEST_LIST).splitlines()[:_MOST]
    except OSError:
        return
    for path in (Path(os.path.normpath(line)) for line in lines if "\0" not in line):
        for root in (home, Path(os.path.realpath(home))):
            if path != root and path.is_relative_to(root):
                yield home / path.relative_to(root)
                break


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for who writes


def _passes_links(home: Path, path: Path) -> bool:
    """Whether a link is on the way from the home to a path, or is it; none is followed to find out."""
    names = path.relative_to(home).parts
    return any(os.path.islink(home.joinpath(*names[:end])) for end in range(1, len(names) + 1))  # noqa: PTH114


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _is_environment(path: Path) -> bool:
    return os.path.exists(f"{path}/pyvenv.cfg") or os.path.exists(f"{path}/conda-meta")  # noqa: PTH110 (many)


def _spec_of(prefix: Path, display: str) -> KernelSpec:
    python, r = prefix / "bin" / "python", prefix / "bin" / "R"
    try:
        python.stat()
        why = f"it has no ipykernel; install it with {python} -m pip install ipykernel"
        if any(prefix.glob("lib/python3*/site-packages/ipykernel")):
            return _of_program(prefix, display, "python", str(python), "-m", "ipykernel_launcher", "-f")
    except (FileNotFoundError, NotADirectoryError):
        why = f"it has no Python{f': {python.readlink()} is gone' if python.is_symlink() else ''}"
    if (prefix / "conda-meta").exists() and r.exists():  # with the Python that some of its packages may need
        if (prefix / "lib" / "R" / "library" / "IRkernel").exists():
            words = ("--no-save", "--no-restore", "--no-echo", "-e", "IRkernel::main()", "--args")
            return _of_program(prefix, display, "R", str(r), *words)
        why = "it has no IRkernel; install r-irkernel into it"
    return _broken(display, why)


def _of_program(prefix: Path, display: str, language: str, *command: str) -> KernelSpec:
    path = os.pathsep.join([str(prefix / "bin"), os.environ.get("PATH", os.defpath)])
    variable = "CONDA_PREFIX" if (prefix / "conda-meta").exists() else "VIRTUAL_ENV"
    return KernelSpec(
        argv=[*command, "{connection_file}"],
        display_name=display,
        language=language,
        env={"PATH": path, variable: str(prefix)},
        metadata={"debugger": True} if language == "python" else {},
        resource_dir=str(prefix),
    )


def _whole(display: str, read: Callable[..., KernelSpec], *words: Any) -> KernelSpec:
    """Return what `read` returns; a broken one when it raises: one bad kernel is not to take the others along."""
    try:
        return read(*words)
    except OSError as error:
        return _broken(display, f"{error.filename or 'a file of it'} cannot be read ({error.strerror or error})")
    except Exception as error:  # whatever somebody wrote into his kernel.json; told where it is shown
        return _broken(display, f"its kernel.json cannot be read ({error})")


def _broken(display: str, reason: str) -> KernelSpec:
    """Return a kernelspec that is shown with its reason; starting it says the reason, too."""
    return KernelSpec(
        argv=["/bin/false", "{connection_file}"],
        display_name=f"{display}: broken, {reason}",
        language="python",
        metadata={BROKEN: reason},
    )
