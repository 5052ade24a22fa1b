"""A real account helper, run as root with a policy of the test's own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.daemons import await_answer, end

from hubwright.machine import wire


class Helper:
    """One running account helper."""

    def __init__(self, folder: Path, account: str) -> None:
        self.run = folder
        self.socket = folder / "account.sock"
        self.site = folder / "site.json"
        self.site.write_text(json.dumps({"run": str(folder), "state": str(folder), "account": account}))
        self.log = folder / "helper.log"
        self.policy()

    def policy(self, **policy) -> None:
        """Replace the policy; nobody but members of hubwright-users by default, and accounts may be made."""
        file = self.run / "policy.json"
        file.write_text(json.dumps({"create": True} | policy))
        file.chmod(0o644)

    def start(self) -> None:
        environment = {"PATH": os.environ["PATH"], "HUBWRIGHT_SITE": str(self.site), "LANG": "C.UTF-8", "HOME": "/root"}
        with self.log.open("ab") as log:
            argv = [sys.executable, "-I", "-m", "hubwright.people.account_helper"]
            self.process = subprocess.Popen(argv, env=environment, stderr=log, stdout=log, cwd="/")
        await_answer(self.process, lambda: b"serves" in self.log.read_bytes(), self.log)

    def stop(self) -> None:
        end(self.process)

    def ask(self, op: str, user: object = None, password: object = None, timeout: float = 30) -> dict:
        message = {"op": op, "user": user} | ({"password": password} if op == "authenticate" else {})
        return wire.call(self.socket, message, timeout)

    def children(self) -> list[int]:
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]


@pytest.fixture
def helper():
    """An account helper whose hub account is `nobody`."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-"))
    folder.chmod(0o755)
    running = Helper(folder, pwd.getpwuid(65534).pw_name)
    running.start()
    yield running
    running.stop()
    shutil.rmtree(folder)
