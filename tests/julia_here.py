"""A Julia for the tests, out of Debian 11, the last one that has it; and a registry with small packages."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("HUBWRIGHT_TEST_CACHE", "/var/cache/hubwright-test"))
PACKAGES = Path(__file__).with_name("julia_packages")
VERSION = "1.5.3"
_TOOLS = ("mmdebstrap", "patchelf", "git")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_OF_THE_MACHINE = re.compile(
    r"(ld-|libc[.-]|libm[.-]|libdl|libpthread|librt|libresolv|libnss|libnsl|libutil|libanl|libmvec|libgcc_s|libstdc|lib(z|tinfo|lzma)\.)"
)
"""What is taken from the machine, whose C library it must fit."""


def julia() -> Path:
    """Return the folder of a Julia that can be moved and packed: `usr/bin/julia` below it. Made once a machine."""
    return once(f"julia-{VERSION}-1", _TOOLS, _make)


def once(name: str, tools: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache that `make` fills with programs of Debian's, once a machine."""
    if missing := [tool for tool in tools if shutil.which(tool) is None] or platform.machine() != "x86_64":
        pytest.skip(f"needs {missing} on a Debian for x86_64; ./test as root installs what can be")
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = CACHE / name
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            fresh = made.with_suffix(".part")
            shutil.rmtree(fresh, ignore_errors=True)
            make(fresh)
            fresh.rename(made)
    return made


def _make(folder: Path) -> None:
    command = ["mmdebstrap", "--mode=root", "--variant=extract", "--include=julia,libzmq5", "--quiet"]
    run(*command, "bullseye", str(folder), mirror(), timeout=600)
    libraries = folder / _LIBRARIES
    for path in [*(folder / "lib/x86_64-linux-gnu").iterdir()]:
        if not _OF_THE_MACHINE.match(path.name) and not path.is_dir():
            path.rename(libraries / path.name)
    for path in libraries.glob("libstdc++*"):
        path.unlink()
    rpath = "$ORIGIN/../lib/x86_64-linux-gnu/julia:$ORIGIN/../lib/x86_64-linux-gnu"
    run("patchelf", "--force-rpath", "--set-rpath", rpath, str(folder / "usr/bin/julia"))
    run("patchelf", "--remove-rpath", str(next(libraries.glob("libLLVM-*.so.1"))))
    for path in folder.iterdir():
        if path.name not in {"usr", "etc"}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in ("doc", "man", "locale", "perl5", "info", "bug", "lintian"):
        shutil.rmtree(folder / "usr/share" / name, ignore_errors=True)


def mirror() -> str:
    """Return where this machine has its packages from."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in places:
        text = path.read_text() if path.is_file() else ""
        if found := re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", text, re.MULTILINE):
            return found[1]
    raise AssertionError("This machine names no Debian mirror in its apt sources.")


def registry(folder: Path, *names: str) -> Path:
    """Make a registry in `folder` with packages of PACKAGES, each committed to a repository of its own."""
    index = folder / "Registry"
    index.mkdir(parents=True)
    lines = ['name = "Registry"', 'uuid = "11111111-2222-4333-8444-00000000ffff"', f'repo = "{index}"', "[packages]"]
    for source in map(PACKAGES.joinpath, names):
        told = dict(re.findall(r'^(name|uuid|version) = "(.*)"$', (source / "Project.toml").read_text(), re.MULTILINE))
        repository = folder / f"{told['name']}.jl"
        shutil.copytree(source, repository)
        tree = commit(repository)
        entry = index / told["name"]
        entry.mkdir()
        lines.append(f'{told["uuid"]} = {{ name = "{told["name"]}", path = "{told["name"]}" }}')
        head = f'name = "{told["name"]}"\nuuid = "{told["uuid"]}"\nrepo = "{repository}"\n'
        (entry / "Package.toml").write_text(head)
        (entry / "Versions.toml").write_text(f'["{told["version"]}"]\ngit-tree-sha1 = "{tree}"\n')
        text = (source / "Project.toml").read_text()
        if "[deps]" in text:
            needs = text.partition("[deps]\n")[2].partition("\n\n")[0]
            (entry / "Deps.toml").write_text(f'["{told["version"].split(".")[0]}"]\n{needs}\n')
    (index / "Registry.toml").write_text("\n".join(lines) + "\n")
    commit(index)
    return index


def release(folder: Path, name: str, before: str, version: str) -> None:
    """Add a version of a package to a registry that `registry` made."""
    project = folder / f"{name}.jl" / "Project.toml"
    project.write_text(project.read_text().replace(f'"{before}"', f'"{version}"'))
    with (folder / "Registry" / name / "Versions.toml").open("a") as versions:
        versions.write(f'\n["{version}"]\ngit-tree-sha1 = "{commit(project.parent)}"\n')
    commit(folder / "Registry")


def commit(folder: Path) -> str:
    """Put all that is in a folder into a git repository there; return the id of its tree."""
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    git = ["git", "-C", str(folder), *who]
    run(*git, "init", "--quiet")
    run(*git, "add", "--all")
    run(*git, "commit", "--quiet", "--message", "All")
    return run(*git, "rev-parse", "HEAD^{tree}").strip()


def run(*command: str, timeout: float = 60) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout
