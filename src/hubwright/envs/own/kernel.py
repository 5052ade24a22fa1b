"""The kernel of Hubwright's own environment: as of any shared one, people have a folder of their own on top of it."""

from __future__ import annotations

import platform
import shutil
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from hubwright.envs import DEFAULT, kernelspec, python
from hubwright.envs.versions import CURRENT, remove
from hubwright.errors import MachineError

_DISPLAY = "Python 3 (ipykernel)"
"""As IPython's own kernelspec has it."""
_WHOLE = "digest"
"""The file that says what was written, so that what a power cut has left is seen."""


def keep(folder: Path) -> None:
    """Have this environment's kernel in `folder/current/kernel`; one that is there, whole and the same, is let be.

    Where packages do not lie as in a virtual environment, as on a Debian without one, there is none: kernels are then
    this environment's as it is.

    Raises:
        MachineError: it cannot be written.
    """
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    prefix, base = Path(sys.prefix), str(getattr(sys, "_base_executable", sys.executable))
    try:
        ipykernel = find_spec("ipykernel")  # imported it takes 0.1 s, of every command
        if not ipykernel or not Path(str(ipykernel.origin)).is_relative_to(prefix / f"lib/python{minor}/site-packages"):
            (folder / CURRENT).unlink(missing_ok=True)
            return
        found = python.Interpreter(platform.python_version(), minor, base, Path(sys.base_prefix), {})
        written_by = b"".join(Path(str(one.__file__)).read_bytes() for one in (python, kernelspec))
        place = folder / sha256(written_by + repr((prefix, found, _DISPLAY)).encode()).hexdigest()[:16]
        if not _is_whole(place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(mode=0o755, parents=True)
            python.write_kernel(place / "kernel", folder / CURRENT / "kernel", DEFAULT, _DISPLAY, prefix, found)
            (place / _WHOLE).write_text(_digest(place / "kernel"))
        link = folder / f".{CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(place.name)
        link.replace(folder / CURRENT)
        for other in folder.iterdir():
            if other.name not in {CURRENT, place.name}:
                remove(other)
    except OSError as error:
        raise MachineError(f"{folder} cannot be written: {error.strerror}.") from error


def _is_whole(place: Path) -> bool:
    try:
        return (place / _WHOLE).read_text() == _digest(place / "kernel")
    except (OSError, ValueError):
        return False


def _digest(kernel: Path) -> str:
    """Return what tells one kernel's files from others: their names, modes and what is in them."""
    found = sha256()
    for path in sorted(kernel.rglob("*")):
        what = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found.update(f"{path.relative_to(kernel)} {path.lstat().st_mode} {len(what)}\n".encode() + what)
    return found.hexdigest()
