"""Wheels that are made on the spot, as pip and uv take them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def write(
    folder: Path,
    name: str,
    version: str = "1.0",
    files: Mapping[str, str] | None = None,
    *,
    needs: Sequence[str] = (),
    scripts: str = "",
) -> Path:
    """Write a package of one module, that knows its version, into a folder; return the file.

    Args:
        folder: is made when it is not there.
        name: of the package, and of its module.
        version: its version.
        files: what it holds in place of that module.
        needs: what it requires.
        scripts: what to call a program that calls `main` of the module.
    """
    about, plain = f"{name}-{version}.dist-info", name.replace("_", "-")
    required = "".join(f"Requires-Dist: {one}\n" for one in needs)
    whole = {
        **(files or {f"{name}.py": f"__version__ = {version!r}\n"}),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {plain}\nVersion: {version}\n{required}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        whole[f"{about}/entry_points.txt"] = f"[console_scripts]\n{scripts} = {name}:main\n"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in whole.items():
            archive.writestr(path, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{path},,\n" for path in (*whole, f"{about}/RECORD")))
    made.chmod(0o644)
    return made


def write_source(folder: Path, name: str, backend: str) -> Path:
    """Write version 1.0 of a package that comes as source, with the program that makes its wheel; return the file.

    That program may import this module as `wheels`.
    """
    made = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(made, "w:gz") as source:
        for path, text in {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": backend,
            "wheels.py": Path(__file__).read_text(),
        }.items():
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(text.encode())
            source.addfile(info, io.BytesIO(text.encode()))
    made.chmod(0o644)
    return made
