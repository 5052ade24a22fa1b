"""A certified OpenID provider, as a child: npm's oidc-provider, installed once into a folder of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx
from tests.daemons import await_answer, end
from tests.running import PLAIN

VERSION = "9.13.3"
SCRIPT = Path(__file__).with_name("provider.mjs")
SECRET = "the client's secret of the hub"


def packages() -> Path | None:
    """Return the folder that has the provider in `node_modules`, after installing it; None when that cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("HUBWRIGHT_OIDC_PROVIDER", cache / "hubwright-test" / f"oidc-provider-{VERSION}"))
    if (folder / "node_modules" / "oidc-provider").is_dir():
        return folder
    if not shutil.which("npm"):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["npm", "install", "--no-save", "--no-audit", "--no-fund", f"oidc-provider@{VERSION}"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=170)
    return folder if done.returncode == 0 and (folder / "node_modules" / "oidc-provider").is_dir() else None


class OpenIDProvider:
    """The provider; it knows one client, with one callback address."""

    def __init__(self, folder: Path, port: int, callback: str) -> None:
        self.port, self.callback = port, callback
        self.issuer = f"http://localhost:{port}"
        self.folder = folder
        self.script = folder / f"provider-{os.getpid()}-{port}.mjs"

    def start(self) -> OpenIDProvider:
        shutil.copyfile(SCRIPT, self.script)
        argv = ["node", str(self.script), str(self.port), self.callback]
        self.process = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        await_answer(self.process, self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/.well-known/openid-configuration", **PLAIN).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        end(self.process)
        self.script.unlink(missing_ok=True)

    def change(self, number: int, **changes: object) -> None:
        """Change what the provider knows of a person; `gone=True` closes the account."""
        httpx.post(f"{self.issuer}/test/change", json={"id": number, **changes}, **PLAIN).raise_for_status()
