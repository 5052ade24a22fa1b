"""A Python that is older than the machine's, out of Debian 11: 3.9, the oldest whose kernels are forked."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.julia_here import mirror, once, run

VERSION = "3.9"
_TOOLS = ("mmdebstrap", "patchelf")
_LIBRARIES = ("libffi.so.*", "libcrypto.so.*", "libssl.so.*", "libmpdec.so.*")
"""What this machine has in other versions. The rest is taken from it."""


def python() -> Path:
    """Return the path of such a Python, which lies in a folder of its own. Made once a machine."""
    made = once(f"python-{VERSION}-1", _TOOLS, _make)
    return made / "bin" / f"python{VERSION}"


def _make(folder: Path) -> None:
    whole, library = folder / "whole", f"python{VERSION}"
    folder.mkdir(mode=0o755)
    packages = f"{library},python3-distutils"
    command = ["mmdebstrap", "--mode=root", "--variant=extract", f"--include={packages}", "--quiet"]
    run(*command, "bullseye", str(whole), mirror(), timeout=600)
    for place in ("bin", f"lib/{library}", "lib/beside"):
        (folder / place).mkdir(mode=0o755, parents=True)
    shutil.copytree(whole / "usr/lib" / library, folder / "lib" / library, symlinks=True, dirs_exist_ok=True)
    for pattern in _LIBRARIES:
        for path in (whole / "usr/lib/x86_64-linux-gnu").glob(pattern):
            shutil.copy2(path, folder / "lib/beside", follow_symlinks=False)
    program = folder / "bin" / library
    shutil.copy2(whole / "usr/bin" / library, program)
    run("patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/../lib/beside", str(program))
    shutil.rmtree(whole)
