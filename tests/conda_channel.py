"""A conda channel in a folder, of packages that are made on the spot: the machine's own Python, what is installed beside
the tests, and small ones made of nothing."""

from __future__ import annotations

import fcntl
import importlib.metadata
import io
import json
import os
import re
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5, sha256
from pathlib import Path

from packaging.requirements import Requirement

from tests.julia_here import CACHE

MINOR = "{}.{}".format(*sys.version_info[:2])
_LIBRARY = f"lib/python{MINOR}"
_LEFT_OUT = re.compile(
    rf"{re.escape(_LIBRARY)}/(test|idlelib|lib2to3|ensurepip|pydoc_data|config-[^/]*|distutils|turtledemo)/"
    r"|.*/EXTERNALLY-MANAGED$|.*/sitecustomize\.py$|.*/(dist|site)-packages/"
)
_CUSTOM = """\
import os, site, sys
if sys.prefix == sys.base_prefix:  # Debian's Python looks for packages elsewhere
    site.addsitedir(os.path.join(os.path.dirname(os.__file__), "site-packages"))
"""
_LOCAL = ("prefix_scheme = 'posix_local'", "prefix_scheme = 'posix_prefix'")
"""And puts them elsewhere."""


@dataclass(frozen=True)
class Package:
    """A package: its files by the path that they get, as text, as the file to copy, or as `-> target` of a link."""

    name: str
    version: str = "1.0"
    depends: Sequence[str] = ()
    files: Mapping[str, str | bytes | Path] = field(default_factory=dict)
    noarch: str = ""
    """`python` for one whose files lie below `site-packages`."""
    modes: Mapping[str, int] = field(default_factory=dict)

    @property
    def subdir(self) -> str:
        """The folder of the channel."""
        return "noarch" if self.noarch else here()

    @property
    def file(self) -> str:
        """The name of the archive."""
        return f"{self.name}-{self.version}-0.tar.bz2"


def here() -> str:
    """Return what conda calls this kind of machine."""
    machine = os.uname().machine
    return {"x86_64": "linux-64", "aarch64": "linux-aarch64"}[machine]


def module(name: str, version: str = "1.0", text: str = "", depends: Sequence[str] = ("python",)) -> Package:
    """Return a package of one Python module that knows its version."""
    folder = f"site-packages/{name}-{version}.dist-info"
    files = {
        f"site-packages/{name}.py": f"__version__ = {version!r}\n{text}",
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{folder}/RECORD": f"{name}.py,,\n{name}-{version}.dist-info/METADATA,,\n",
    }
    return Package(name, version, depends, files, "python")


def write(channel: Path, *packages: Package) -> None:
    """Put packages into a channel, which is made when there is none, and bring its index up to date."""
    for subdir in {"noarch", here()}:
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    told: dict[str, dict[str, object]] = {"noarch": {}, here(): {}}
    for subdir, known in told.items():
        index = channel / subdir / "repodata.json"
        if index.exists():
            known |= json.loads(index.read_text())["packages"]
    for package in packages:
        path = channel / package.subdir / package.file
        record = _write(path, package)
        data = path.read_bytes()
        record |= {"sha256": sha256(data).hexdigest(), "md5": md5(data).hexdigest(), "size": len(data)}
        told[package.subdir][package.file] = record
    for subdir, known in told.items():
        index = {"info": {"subdir": subdir}, "packages": known, "packages.conda": {}, "repodata_version": 1}
        (channel / subdir / "repodata.json").write_text(json.dumps(index))


def base(channel: Path) -> None:
    """Make a channel of the machine's Python, ipykernel and pip. They are packed once a machine, which takes a while."""
    packages = [python(), *installed("ipykernel", "pip")]
    told = [Path(__file__).read_text(), *(f"{one.name} {one.version}" for one in packages)]
    made = CACHE / f"conda-{sha256(chr(0).join(told).encode()).hexdigest()[:16]}"
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (CACHE / "conda.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            for old in CACHE.glob("conda-*"):
                shutil.rmtree(old)
            fresh = CACHE / "conda-part"
            write(fresh, *packages)
            fresh.rename(made)
        shutil.copytree(made, channel)


def python() -> Package:
    """Return the machine's own Python as a package; modules of other packages go to its `site-packages`."""
    library = Path(sysconfig.get_path("stdlib"))
    files: dict[str, str | bytes | Path] = {f"bin/python{MINOR}": Path(os.path.realpath(sys.executable))}
    files |= {f"bin/{name}": f"-> python{MINOR}" for name in ("python", "python3")}
    for path in library.rglob("*"):
        name = f"{_LIBRARY}/{path.relative_to(library)}"
        if path.is_file() and not path.is_symlink() and not _LEFT_OUT.match(name):
            files[name] = path
    files[f"{_LIBRARY}/sitecustomize.py"] = _CUSTOM
    files[f"{_LIBRARY}/sysconfig.py"] = (library / "sysconfig.py").read_text().replace(*_LOCAL)
    version = "{}.{}.{}".format(*sys.version_info[:3])
    return Package("python", version, (), files, modes={f"bin/python{MINOR}": 0o755})


def installed(*names: str) -> list[Package]:
    """Return packages of what is installed beside the tests, with all that they need."""
    found: dict[str, Package] = {}
    left = list(names)
    while left:
        name = plain(left.pop())
        if name in found:
            continue
        distribution = importlib.metadata.distribution(name)
        needs = [Requirement(text) for text in distribution.requires or ()]
        depends = [plain(one.name) for one in needs if not one.marker or one.marker.evaluate({"extra": ""})]
        left += depends
        root = Path(str(distribution.locate_file("")))
        files = {
            f"{_LIBRARY}/site-packages/{path}": root / str(path)
            for path in distribution.files or ()
            if not {"..", "typeshed"} & {*path.parts} and path.suffix != ".pyc" and (root / str(path)).is_file()
        }
        found[name] = Package(name, distribution.version, ["python", *depends], files)
    return list(found.values())


def plain(name: str) -> str:
    """Return a distribution's name as conda writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _write(path: Path, package: Package) -> dict[str, object]:
    record: dict[str, object] = {
        "name": package.name,
        "version": package.version,
        "build": "0",
        "build_number": 0,
        "depends": [*package.depends],
        "subdir": package.subdir,
    }
    if package.noarch:
        record["noarch"] = package.noarch
    listed = []
    with tarfile.open(path, "w:bz2", compresslevel=1) as tar:
        for name, content in sorted(package.files.items()):
            if isinstance(content, str) and content.startswith("-> "):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, content[3:]
                tar.addfile(link)
                listed.append({"_path": name, "path_type": "softlink"})
                continue
            data = content.read_bytes() if isinstance(content, Path) else _bytes(content)
            _add(tar, name, data, content.stat() if isinstance(content, Path) else None, package.modes.get(name))
            told = {"_path": name, "path_type": "hardlink", "sha256": sha256(data).hexdigest()}
            listed.append(told | {"size_in_bytes": len(data)})
        _add(tar, "info/index.json", json.dumps(record).encode())
        _add(tar, "info/paths.json", json.dumps({"paths": listed, "paths_version": 1}).encode())
        _add(tar, "info/files", "".join(f"{name}\n" for name in package.files).encode())
        if package.noarch == "python":
            link_json = {"noarch": {"type": "python"}, "package_metadata_version": 1}
            _add(tar, "info/link.json", json.dumps(link_json).encode())
    return record


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _add(
    tar: tarfile.TarFile, name: str, data: bytes, found: os.stat_result | None = None, mode: int | None = None
) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = mode or (found.st_mode & 0o777 if found else 0o644)
    info.mtime = int(found.st_mtime) if found else 0
    tar.addfile(info, io.BytesIO(data))
