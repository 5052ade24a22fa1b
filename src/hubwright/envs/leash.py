"""Runs a command that may not outlive whoever asked for it, with all that it starts, nor take longer than it may.

A program of its own (`python -I -m hubwright.envs.leash SECONDS COMMAND...`): whoever asks holds the other end of its
standard input, which ends with him, however he ends. Exits as the command does; 124 when the time was up.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

TIME_IS_UP = 124


def run(seconds: float, command: list[str]) -> int:
    """Run a command in a group of processes of its own, and end what is left of that group afterwards."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0) as process:
        ended = os.pidfd_open(process.pid)
        try:
            ready, _, _ = select.select([ended, sys.stdin], [], [], seconds)
        finally:
            os.close(ended)
            try:
                os.killpg(process.pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
            except ProcessLookupError:
                pass
        code = process.wait()
    return code if ready else TIME_IS_UP


if __name__ == "__main__":
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]) % 256)
