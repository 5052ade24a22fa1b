"""A Debian machine as it comes, made and booted once, and kept: real systemd, control groups of version 2.

Beside what a small Debian has it holds the environment that the tests run in, in the same place, since installing it in
a guest would take many minutes; and pip finds there what builds Hubwright's own package, and nothing else. It is made
anew when that environment, this file or the release of Debian changes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

from tests.machine import qemu
from tests.machine.qemu import Qemu
from tests.machine.shell import Shell
from tests.running import port

CACHE = Path(os.environ.get("HUBWRIGHT_TEST_CACHE", "/var/cache/hubwright-test"))
TOOLS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mkfs.ext4", "ssh", "ssh-keygen")
_KEPT = 2
"""How many images stay: one each for two environments."""
_PACKAGES = (
    *("linux-image-cloud-amd64", "systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "python3-venv"),
    *("ca-certificates", "sudo", "curl", "iproute2", "ifupdown", "kmod", "initramfs-tools", "procps", "netbase"),
    *("libpam-modules-bin", "libpam-systemd", "nftables", "ufw", "quota", "acl"),
)
_LEFT_OUT = ("doc", "man", "locale", "info", "lintian")
_UNUSED = ("playwright", "mypy", "mypyc", "matplotlib")
"""Packages of the environment that no test in a guest imports, and that are large."""
_WHEELS = "/var/lib/wheels"
"""What a guest's pip finds, and nothing else: what Hubwright's wheel is built with."""
_INTERFACES = """\
auto lo
iface lo inet loopback
allow-hotplug enp0s4
iface enp0s4 inet static
  address 10.0.2.15/24
  gateway 10.0.2.2
"""


@dataclass(frozen=True)
class Image:
    """The files of a machine that has been booted, and waits."""

    folder: Path
    furnished: bool = False
    """Whether a checkout is in it: one that a guest was kept as, which is used by this state of the checkout alone."""

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def key(self) -> Path:
        """The private key that opens root's account in the guest."""
        return self.folder / "key"

    def overlay(self, path: Path) -> Path:
        """Make a disk that begins as this one, and takes what is written."""
        base = ["-b", self.disk, "-F", "qcow2"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, path], check=True, timeout=60)
        return path


def missing() -> str:
    """Return why no guest can be made here; empty when one can."""
    if os.uname().machine != "x86_64" or _release().get("ID") != "debian":
        return "makes its guest from Debian's packages on x86-64: run it on Debian"
    lacks = [tool for tool in TOOLS if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    return f"needs {', '.join(lacks)}: ./test as root installs that" if lacks else ""


@contextmanager
def image() -> Iterator[Image]:
    """Hold the image, which is made unless it is there; several may hold it at once."""
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = CACHE / f"machine-{_digest()}"
    with (CACHE / "making.lock").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        if not (folder / "state").exists():
            _make(folder)
        os.utime(folder)
        _prune()
        held = (folder / "held.lock").open("w")
        fcntl.flock(held, fcntl.LOCK_SH)
    with held:
        yield Image(folder)


def _digest() -> str:
    told = [f"{one.name} {one.version}" for one in distributions() if one.name != "hubwright"]
    text = [*sorted(told), sys.prefix, str(_release()), Path(__file__).read_text(), Path(qemu.__file__).read_text()]
    return sha256("\n".join(text).encode()).hexdigest()[:16]


def _release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _prune() -> None:
    """Remove the images used longest ago, but none that somebody holds."""
    found = sorted(CACHE.glob("machine-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in found[_KEPT:]:
        with (folder / "held.lock").open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder)


def _make(folder: Path) -> None:
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    root = folder / "root"
    try:
        _install(root)
        _furnish(root, folder)
        _format(root, folder)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    _boot(folder)
    print(f"Made {folder} in {time.monotonic() - began:.0f} s.", file=sys.stderr)


def _install(root: Path) -> None:
    sources = next(
        p for p in map(Path, ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")) if p.exists()
    )
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
    options += ["--dpkgopt=force-unsafe-io", '--aptopt=APT::Install-Recommends "false"', "--quiet"]
    command = ["mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(_PACKAGES)}", *options]
    _run(*command, _release()["VERSION_CODENAME"], str(root), str(sources), timeout=600)


def _furnish(root: Path, folder: Path) -> None:
    """Name the machine, let us in, and put the environment of the tests into it."""
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(folder / "key.pub", root / "root/.ssh/authorized_keys")
    (root / "etc/hostname").write_text("fresh\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost fresh\n")
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (root / "etc/network/interfaces").write_text(_INTERFACES)
    for path in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(path, root / "usr/local/share/ca-certificates")
    _run("chroot", str(root), "update-ca-certificates", timeout=120)
    for path in (root / "etc/ssh").glob("ssh_host_*"):
        path.unlink()
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / "etc/ssh/ssh_host_ed25519_key"))
    (root / "etc/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {_WHEELS}\n")
    wanted = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["build-system"]["requires"]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    _run(*download, "--dest", f"{root}{_WHEELS}", *wanted, timeout=300)
    place = root / Path(sys.prefix).relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(sys.prefix, place, symlinks=True, ignore=shutil.ignore_patterns(*_UNUSED))
    compiles = [sys.executable, "-m", "compileall", "-q", "-s", str(root), "-x", "/tests/", str(place)]
    subprocess.run(compiles, stdout=subprocess.DEVNULL, timeout=600)  # what is for another Python fails, and may


def _format(root: Path, folder: Path) -> None:
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(next((root / "boot").glob(f"{name}-*")), folder / name)
    raw = folder / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(10 * 2**30)
    _run(
        "mkfs.ext4", "-q", "-F", "-d", str(root), "-E", "lazy_itable_init=1,lazy_journal_init=1", str(raw), timeout=300
    )
    _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(folder / "disk.qcow2"), timeout=300)
    raw.unlink()


def _boot(folder: Path) -> None:
    """Boot it, wait until systemd has started everything, and keep disk and memory of that moment."""
    machine = Qemu(folder, folder / "disk.qcow2", folder)
    machine.start()
    try:
        number = port()
        machine.forward(number, 22)
        shell = Shell(folder / "key", number, folder / "ssh")
        shell.await_answer(600)
        said = shell.run("systemctl is-system-running --wait; systemctl --failed; sync", timeout=600)
        shell.close()
        assert said.startswith("running"), said
        machine.keep(folder / "state.part")
    finally:
        machine.end()
    (folder / "state.part").rename(folder / "state")


def _run(*command: str, timeout: float = 60) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr[-3000:]}"
