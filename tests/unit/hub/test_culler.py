"""The idle culler ends with its hub, also when that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import wait_until

HUB = """
import subprocess, sys, time
culler = subprocess.Popen(
    [sys.executable, "-m", "hubwright.hub.culler", "--config=", "--timeout=60", "--cull-every=60"],
    env={"JUPYTERHUB_API_TOKEN": "x", "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api"},
    stderr=subprocess.PIPE, text=True,
)
for line in culler.stderr:
    if "refused" in line:  # it has asked the hub once, so it runs
        print(culler.pid, flush=True)
        break
time.sleep(60)
"""


def test_a_killed_hub_leaves_no_culler():
    with subprocess.Popen([sys.executable, "-c", HUB], stdout=subprocess.PIPE, text=True) as hub:
        culler = Path("/proc", hub.stdout.readline().strip(), "stat")
        assert culler.exists()
        hub.send_signal(signal.SIGKILL)
    wait_until(lambda: not culler.exists() or culler.read_text().rpartition(")")[2].split()[0] == "Z")
