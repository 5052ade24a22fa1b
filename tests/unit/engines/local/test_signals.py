"""Signals of servers and kernels are those of a fresh Python, whoever has started the service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

CODE = """
import json
from hubwright.engines.local import launch
launch.default_signals()
words = [line.split() for line in open("/proc/self/status")]
print(json.dumps({word[0]: int(word[1], 16) for word in words if word[0].startswith("Sig") and word[0] != "SigQ:"}))
"""


def test_signals_that_nohup_or_a_shell_ignores_are_handled_again() -> None:
    """A job in the background of a shell without job control ignores SIGINT and SIGQUIT, one of nohup SIGHUP."""
    command = ["sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh", sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    ignored = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    caught = 1 << signal.SIGINT - 1
    assert json.loads(done.stdout) == {"SigPnd:": 0, "SigBlk:": 0, "SigIgn:": ignored, "SigCgt:": caught}
