"""The kernel of Hubwright's own environment: as of any shared one, people have a folder of their own on top of it."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import ipykernel

from hubwright.envs import DEFAULT, python
from hubwright.envs.versions import CURRENT, Version, Versions
from hubwright.errors import MachineError

_DISPLAY = "Python 3 (ipykernel)"
"""As IPython's own kernelspec has it."""


def keep(folder: Path) -> None:
    """Have this environment's kernel in `folder/current/kernel`; one that is there and the same is let be.

    Where packages do not lie as in a virtual environment, as on a Debian without one, nothing is written: kernels are
    then this environment's as it is.

    Raises:
        MachineError: it cannot be written.
    """
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    prefix, base = Path(sys.prefix), str(getattr(sys, "_base_executable", sys.executable))
    if not Path(ipykernel.__file__).is_relative_to(prefix / f"lib/python{minor}/site-packages"):
        return
    found = python.Interpreter(platform.python_version(), minor, base, Path(sys.base_prefix), {})
    source = sha256(Path(python.__file__).read_bytes() + repr((prefix, found)).encode()).hexdigest()
    versions = Versions(folder)
    try:
        if (current := versions.current()) and current.source == source:
            return
        with versions.lock():
            made = versions.begin()
            python.write_kernel(made / "kernel", folder / CURRENT / "kernel", DEFAULT, _DISPLAY, prefix, found)
            version = Version(
                int(made.name), datetime.now(UTC).isoformat(timespec="seconds"), source, found.version, str(prefix)
            )
            versions.record(version)
            versions.take(version)
            versions.prune()
    except OSError as error:
        raise MachineError(f"{folder} cannot be written: {error.strerror}.") from error
