"""A repository such as CRAN in a folder, of small source packages that are made on the spot."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from hashlib import md5
from pathlib import Path


def archive(name: str, version: str, code: str = "", more: Mapping[str, str] | None = None, **fields: str) -> bytes:
    """Return a source package.

    Args:
        name: its name.
        version: its version.
        code: what its one file of R holds; what is defined there is exported.
        more: further files, by their path in it.
        fields: more of its DESCRIPTION, such as `Imports`.
    """
    told = {"Package": name, "Version": version, "Title": name.title(), "License": "MIT", "Author": "A. Tester"}
    told |= {"Maintainer": "A. Tester <a@example.org>", "Description": f"It is {name}.", **fields}
    files = {
        "DESCRIPTION": "".join(f"{key}: {value}\n" for key, value in told.items()),
        "NAMESPACE": 'exportPattern("^[a-z]")\n',
        f"R/{name}.R": code or f"{name}_version <- function() '{version}'\n",
        **(more or {}),
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size, info.mode = len(text.encode()), 0o755 if path == "configure" else 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return made.getvalue()


def write(repository: Path, *archives: tuple[str, str, bytes], needs: Mapping[str, str] | None = None) -> Path:
    """Put packages, the newest ones, into a repository, which is made when there is none; return it.

    Args:
        repository: the folder.
        archives: name, version, and the package.
        needs: `Imports` by name, for the index.
    """
    contrib = repository / "src" / "contrib"
    contrib.mkdir(parents=True, exist_ok=True)
    for name, version, data in archives:
        for older in contrib.glob(f"{name}_*.tar.gz"):
            (contrib / "Archive" / name).mkdir(parents=True, exist_ok=True)
            older.rename(contrib / "Archive" / name / older.name)
        (contrib / f"{name}_{version}.tar.gz").write_bytes(data)
    records = []
    for path in sorted(contrib.glob("*.tar.gz")):
        name, _, version = path.name.removesuffix(".tar.gz").partition("_")
        digest = md5(path.read_bytes()).hexdigest()
        imports = f"Imports: {needs[name]}\n" if needs and name in needs else ""
        records.append(f"Package: {name}\nVersion: {version}\n{imports}MD5sum: {digest}\nNeedsCompilation: no\n")
    text = "\n".join(records)
    (contrib / "PACKAGES").write_text(text)
    (contrib / "PACKAGES.gz").write_bytes(gzip.compress(text.encode()))
    return repository
