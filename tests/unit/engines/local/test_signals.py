"""Signals of servers and kernels are those of a fresh Python, whoever has started the service."""

from __future__ import annotations

import subprocess
import sys

TELL = """
from pathlib import Path
lines = Path("/proc/self/status").read_text().splitlines()
print([line for line in lines if line.startswith(("SigBlk", "SigIgn", "SigCgt"))])
"""


def told(code: str, before: str = "") -> str:
    """Return what an interpreter prints that a shell has executed, after `before`."""
    command = ["sh", "-c", f'{before}exec "$@"', "sh", sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_signals_that_nohup_or_a_shell_ignores_are_handled_again() -> None:
    """A job in the background of a shell without job control ignores SIGINT and SIGQUIT, one of nohup SIGHUP."""
    ignoring = "trap '' INT QUIT HUP; "
    again = "from hubwright.engines.local import launch\nlaunch.default_signals()\n"
    usual = told(TELL)
    assert told(TELL, ignoring) != usual
    assert told(again + TELL, ignoring) == usual
