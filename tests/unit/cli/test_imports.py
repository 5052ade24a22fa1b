"""What a command imports before it does anything, which everybody who types one waits for."""

from __future__ import annotations

import subprocess
import sys

from hubwright.cli import COMMANDS

HEAVY = {"cryptography", "httpx", "jinja2", "jupyter_client", "jupyterhub", "sqlalchemy", "tornado", "zmq"}
"""Each takes a tenth of a second and more, most of them for the hub and for servers only."""

LOOKED = "Hub.model_validate({}); print(*sys.modules)"
"""To read hub.yaml takes the sections of every kind."""


def test_no_command_imports_what_only_the_hub_and_servers_need() -> None:
    modules = ", ".join(f"hubwright.cli.{name.replace('-', '_')}" for name in COMMANDS)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; from hubwright.config.model import Hub; {LOOKED}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "hubwright.cli.plan" in done.stdout.split()
    assert not HEAVY & {*done.stdout.split()}
