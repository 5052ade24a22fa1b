"""One QEMU process: how it is started, and its monitor."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

MEMORY = 3072
"""MiB that a guest has."""
_KERNEL = "root=/dev/vda rw console=ttyS0 loglevel=4 mitigations=off tsc=reliable clocksource=tsc"
"""An emulated processor has no holes to mitigate, and its other clocks are slow to read."""


@dataclass
class Qemu:
    """A machine of plain emulation with its files in `folder`; it ends with `end`."""

    folder: Path
    disk: Path
    boot: Path
    """The folder with `vmlinuz` and `initrd.img`."""
    process: subprocess.Popen[bytes] | None = None

    def start(self, state: Path | None = None) -> None:
        """Start it: from its disk, or with a memory that `keep` has written."""
        command = [
            *("setpriv", "--pdeathsig", "KILL"),  # with whoever started it
            *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"),
            *("-smp", "2", "-m", str(MEMORY), "-display", "none", "-serial", f"file:{self.folder}/serial"),
            *("-kernel", str(self.boot / "vmlinuz"), "-initrd", str(self.boot / "initrd.img"), "-append", _KERNEL),
            *("-drive", f"file={self.disk},if=virtio,format=qcow2,cache=unsafe,discard=unmap"),
            *(
                "-netdev",
                "user,id=net,ipv6=off",
                "-device",
                "virtio-net-pci,netdev=net,addr=4",
                "-device",
                "virtio-rng-pci",
            ),
            *("-qmp", f"unix:{self._monitor},server=on,wait=off", "-nodefaults"),
            *(("-incoming", f"exec:cat '{state}'") if state else ()),
        ]
        with (self.folder / "qemu.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if state:
            self._await("info status", "VM status: paused\r\n", 120)  # as it was when its memory was kept
            self.tell("cont")

    @property
    def _monitor(self) -> Path:
        return self.folder / "monitor"

    def tell(self, *commands: str, timeout: float = 180) -> str:
        """Give the monitor commands of its language for people, one after the other; return what it said."""
        deadline = time.monotonic() + 30
        while True:
            assert self.process and self.process.poll() is None, (self.folder / "qemu.log").read_text()
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(self._monitor))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                line.close()
                assert time.monotonic() < deadline, "the monitor does not answer"
                time.sleep(0.05)
        line.settimeout(timeout)
        with line, line.makefile("rw") as talk:
            talk.readline()
            self._ask(talk, "qmp_capabilities")
            arguments = ({"command-line": command} for command in commands)
            return "".join(self._ask(talk, "human-monitor-command", **{"arguments": one}) for one in arguments)

    @staticmethod
    def _ask(talk: TextIO, word: str, **more: object) -> str:
        """Execute one command of QMP; what it tells of its own accord in between is passed over."""
        talk.write(json.dumps({"execute": word, **more}) + "\n")
        talk.flush()
        while "return" not in (answer := json.loads(talk.readline())):
            assert "error" not in answer, answer
        return str(answer["return"] or "")

    def _await(self, command: str, word: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while word not in (said := self.tell(command)):
            assert time.monotonic() < deadline and "failed" not in said, said
            time.sleep(0.1)

    def keep(self, state: Path) -> None:
        """Write memory and devices into a file, and end; the disk is as it was at that moment."""
        self.tell("stop", "migrate_set_parameter max-bandwidth 4G", f'migrate -d "exec:cat > {state}"')
        self._await("info migrate", "Migration status: completed", 180)
        self.end()

    def forward(self, port: int, guest: int) -> None:
        """Lead a TCP port of 127.0.0.1 to one of the guest."""
        said = self.tell(f"hostfwd_add net tcp:127.0.0.1:{port}-:{guest}")
        assert "could not" not in said, said

    def end(self) -> None:
        """End the process, as if the plug were pulled."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(30)
