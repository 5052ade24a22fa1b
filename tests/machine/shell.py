"""Commands in a guest, by ssh over one connection that stays open."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


class Failed(AssertionError):
    """A command in a guest left with another code than 0."""


@dataclass(frozen=True)
class Shell:
    """Root's shell behind a port of 127.0.0.1."""

    key: Path
    port: int
    control: Path
    """The socket of the connection that commands share."""

    def _ssh(self, *words: str) -> list[str]:
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "ConnectTimeout": "30",
            "ControlMaster": "auto",
            "ControlPath": str(self.control),
            "ControlPersist": "600",
            "ServerAliveInterval": "30",
            "IdentitiesOnly": "yes",
        }
        told = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "/dev/null", "-i", str(self.key), "-p", str(self.port), *told, *words]

    def ask(self, command: str, timeout: float, text: str | bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command and return how it ended; what it prints to either is in `stdout`, in order."""
        data = text.encode() if isinstance(text, str) else text
        return subprocess.run(
            self._ssh("root@127.0.0.1", f"exec 2>&1\n{command}"),
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )

    def run(self, command: str, timeout: float, text: str | bytes = b"") -> str:
        """Run a command and return what it printed.

        Raises:
            Failed: it left with another code than 0.
        """
        done = self.ask(command, timeout, text)
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            raise Failed(f"{command!r} left with code {done.returncode}:\n{said}")
        return said

    def await_answer(self, seconds: float) -> None:
        """Wait until the guest answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.ask("true", 60).returncode == 0:
                    return
            except subprocess.TimeoutExpired:
                pass
            assert time.monotonic() < deadline, f"the guest does not answer within {seconds:g} s"
            time.sleep(0.3)

    def close(self) -> None:
        """End the connection; the next command makes another."""
        subprocess.run(self._ssh("-O", "exit", "root@127.0.0.1"), capture_output=True, timeout=30)
