"""A kernel that was forked, with the part of subprocess.Popen that jupyter_client uses."""

from __future__ import annotations

import signal

from hubwright.machine.process import Process


class ForkedKernel:
    """Whoever its parent is: a kernel agent, or an environment's zygote."""

    stdin = stdout = stderr = None

    def __init__(self, process: Process) -> None:
        self.process = process
        self.pid = process.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, None while it runs; 1 where nobody could learn it."""
        if self.returncode is None and not self.process.alive():
            self.returncode = 1
        return self.returncode

    def wait(self) -> int | None:
        """Return its exit code; for one that has ended."""
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal to exactly this process."""
        self.process.signal(number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)
