"""A machine of one's own, running in seconds: a copy of the image that a test may change, restart and throw away.

    def test_something(guest: Guest) -> None:
        guest.put("/etc/hub.yaml", "hub: {}\\n")
        guest.run("hubwright check --config /etc/hub.yaml")
        guest.reboot()

It has what the checkout is made of, in the same place as here, and the environment that the tests run in.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.machine.image import Image
from tests.machine.qemu import Qemu
from tests.machine.shell import Failed, Shell
from tests.running import port

ROOT = Path(__file__).parents[2]
CHECKOUT = ("src", "tests", "tools", "examples", "up", "install", "test", "pyproject.toml", "README.md", "LICENSE")
LOOP = "import time; t = time.process_time(); sum(i * i for i in range(1_000_000)); print(time.process_time() - t)"
USUAL = 0.05
"""Seconds that `LOOP` takes on a machine for which the waits of the tests are written."""
_PATH = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Guest:
    """A running guest; made by the fixtures of tests/machine/conftest.py.

    Every `timeout` is in seconds of a usual machine: the guest gets `slowness` times as long.
    """

    def __init__(self, image: Image, folder: Path) -> None:
        self.folder = folder
        self.slowness = 10.0
        """How many times slower than a usual machine it is, measured when it started."""
        self._image = image
        self._qemu = Qemu(folder, image.overlay(folder / "disk.qcow2"), image.folder)
        self._shell = Shell(image.key, port(), folder / "ssh")

    def start(self) -> None:
        """Start it from the image's memory and set its clock; bring this checkout into it, unless it was kept with one."""
        self._qemu.start(self._image.state)
        assert self._qemu.process
        os.setpriority(os.PRIO_PGRP, self._qemu.process.pid, 10)  # tests beside it wait for answers
        self._qemu.forward(self._shell.port, 22)
        self._shell.await_answer(120)
        self._set_clock()
        self.slowness = max(1.0, float(self.run(f"/usr/bin/python3 -c {shlex.quote(LOOP)}")) / USUAL)
        if not self._image.furnished:
            self.bring()

    def end(self) -> None:
        """End it and all it wrote."""
        self._shell.close()
        self._qemu.end()

    def run(self, command: str, timeout: float = 30, *, text: str | bytes = b"", user: str = "root") -> str:
        """Run shell words as root, or as another user, with the environment's programs on the path.

        Returns:
            What it printed, to either.

        Raises:
            Failed: it left with another code than 0.
            subprocess.TimeoutExpired: it takes too long; it goes on running in the guest.
        """
        return self._shell.run(self._words(command, user), timeout * self.slowness, text)

    def code(self, command: str, timeout: float = 30, *, user: str = "root") -> int:
        """Run shell words as `run` does and return the code they left with."""
        return self._shell.ask(self._words(command, user), timeout * self.slowness).returncode

    @staticmethod
    def _words(command: str, user: str) -> str:
        exported = f"export PATH={_PATH} LANG=C.UTF-8\n{command}"
        return exported if user == "root" else f"runuser -u {user} -- sh -c {shlex.quote(exported)}"

    def wait(self, command: str, timeout: float = 30) -> None:
        """Wait until shell words leave with code 0."""
        self.run(f"until {{ {command}\n}} >/dev/null 2>&1; do sleep 0.2; done", timeout)

    def put(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file, root's, with the folders above it."""
        place = shlex.quote(path)
        self.run(f"mkdir -p $(dirname {place}) && cat >{place} && chmod {mode:o} {place}", text=text)

    def get(self, path: str) -> str:
        """Return the text of a file."""
        return self.run(f"cat {shlex.quote(path)}")

    def forward(self, number: int) -> int:
        """Return a port of 127.0.0.1 here that leads to a port of the guest's address 10.0.2.15.

        What listens on the guest's 127.0.0.1 only is not reached.
        """
        here = port()
        self._qemu.forward(here, number)
        return here

    def bring(self) -> None:
        """Bring this checkout, and Hubwright as it is installed here, into the guest; also a later state of it."""
        packages = next(Path(folder) for folder in sys.path if folder.endswith("site-packages"))
        ours = [*packages.glob("hubwright*"), *packages.glob("_hubwright*"), Path(sys.prefix) / "bin" / "hubwright"]
        ours += [Path(sys.prefix) / name for name in ("hubwright.stamp", "needs.stamp")]
        found = [path for path in (*ours, *(ROOT / name for name in CHECKOUT)) if path.exists()]
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as archive:
            for path in found:
                archive.add(path, filter=_roots)
        gone = " ".join(shlex.quote(str(path)) for path in found)
        old = f"{packages}/hubwright* {packages}/_hubwright*"
        self.run(f"rm -rf {gone} {old}; tar -x -C / --no-same-owner -p", text=whole.getvalue())

    def account(self, name: str, password: str = "correct horse", groups: str = "") -> None:
        """Make a person's Unix account."""
        more = f"--groups {groups}" if groups else ""
        self.run(f"useradd --create-home --key HOME_MODE=0700 --shell /bin/bash {more} {name} && chpasswd",
                 text=f"{name}:{password}\n")  # fmt: skip

    def pytest(self, *words: str, timeout: float = 60) -> str:
        """Run tests of this checkout in the guest as root, with longer waits; return pytest's last line.

        Raises:
            Failed: one of them fails; all that pytest said is in the message.
        """
        told = " ".join(shlex.quote(word) for word in words)
        scaled = f"HUBWRIGHT_TEST_SLOWNESS={self.slowness:.1f}"
        said = self.run(f"cd {ROOT} && {scaled} python -m pytest -q -p no:cacheprovider {told}", timeout)
        return said.strip().splitlines()[-1]

    def new_connection(self) -> None:
        """Have the next command come by another connection than those before."""
        self._shell.close()

    def reboot(self) -> None:
        """Restart it in an orderly way, as an administrator does; returns when systemd has started everything."""
        self._restart(lambda: self.code("systemctl reboot"))

    def pull_the_plug(self) -> None:
        """Restart it without a warning; what was not written to the disk is lost."""
        self._restart(lambda: self._qemu.tell("system_reset"))

    def _restart(self, how: object) -> None:
        assert callable(how)
        before = self.get("/proc/sys/kernel/random/boot_id")
        how()
        self._shell.close()
        deadline = time.monotonic() + 60 * self.slowness
        while True:
            self._shell.await_answer(60 * self.slowness)
            if self.get("/proc/sys/kernel/random/boot_id") != before:
                break
            self._shell.close()
            assert time.monotonic() < deadline, "the guest does not restart"
            time.sleep(0.5)
        self.code("systemctl is-system-running --wait", 60)

    def keep(self, folder: Path) -> Image:
        """End it, and keep disk, memory and everything that runs in `folder`: an image that others begin as."""
        self._shell.close()
        self._qemu.keep(self.folder / "state")
        part = folder.with_name(f"{folder.name}.part")
        for old in (part, folder):
            shutil.rmtree(old, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        for name in ("disk.qcow2", "state"):
            shutil.move(self.folder / name, part)
        for path in (self._image.key, *(self._image.folder / name for name in ("vmlinuz", "initrd.img"))):
            os.link(path, part / path.name)
        part.rename(folder)
        return Image(folder, furnished=True)

    def save(self, name: str) -> None:
        """Keep disk, memory and everything that runs, for `go_back`."""
        said = self._qemu.tell(f"savevm {name}")
        assert "Error" not in said, said

    def go_back(self, name: str) -> None:
        """Be again what `save` kept."""
        self._shell.close()
        said = self._qemu.tell(f"loadvm {name}")
        assert "Error" not in said, said
        self._shell.await_answer(120)
        self._set_clock()

    def _set_clock(self) -> None:
        self._shell.run(f"date -s @{time.time():.0f}", 60)


def _roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode &= 0o755
    return entry


def fresh(image: Image) -> Guest:
    """Return a guest that is not started yet, in a folder of its own."""
    return Guest(image, Path(tempfile.mkdtemp(prefix="hwt-machine-", dir="/var/tmp")))


Running = Callable[[Image], AbstractContextManager[Guest]]
"""Gives a machine that begins as an image, for a `with`."""

__all__ = ["Failed", "Guest", "Running", "fresh"]
