"""The plain stack: JupyterHub, LocalProcessSpawner and configurable-http-proxy as they come, run by root."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from stack import PREFIX, Stack, free_port

PROXY = "configurable-http-proxy@5.3"
_AS_OURS = ("--ResourceUseDisplay.enable_prometheus_metrics=False", "--ResourceUseDisplay.track_cpu_percent=True")
"""jupyter-resource-usage is in both sides' environment; it would else wait 50 ms for each process every second."""


def proxy_command() -> Path:
    """Return configurable-http-proxy's executable; installed from npm into the user's cache folder the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hubwright-bench" / "proxy-5.3"
    command = cache / "node_modules/.bin/configurable-http-proxy"
    if not command.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("The plain stack needs npm for configurable-http-proxy: apt-get install npm")
        cache.mkdir(parents=True, exist_ok=True)
        argv = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(cache), PROXY]
        subprocess.run(argv, check=True, timeout=300, stdout=sys.stderr)
    return command


class Plain(Stack):
    """JupyterHub's defaults: PAM, SQLite, LocalProcessSpawner. Set are only ports, `allow_all`, a service's token to
    make users' tokens with, no bound on concurrent spawns, and what keeps an extension of both sides from costing more.
    """

    name = "plain"

    def __init__(self, users: list[str], *, spawner: dict[str, Any] | None = None, log_to: Path | None = None) -> None:
        super().__init__(users, spawner=spawner, log_to=log_to)
        self._token = secrets.token_hex(32)
        self._proxy = proxy_command()
        self._write()

    def _write(self) -> None:
        settings: dict[str, dict[str, Any]] = {
            "JupyterHub": {
                "bind_url": self.url,
                "hub_port": free_port(),
                "concurrent_spawn_limit": 0,
                "services": [{"name": "bench", "api_token": self._token, "admin": True}],
            },
            "ConfigurableHTTPProxy": {
                "command": [str(self._proxy)],
                "api_url": f"http://127.0.0.1:{free_port()}",
            },
            "Authenticator": {"allow_all": True},
            "Spawner": {"args": list(_AS_OURS), **self.spawner},
        }
        lines = [
            f"c.{section}.{trait} = {value!r}"
            for section, traits in settings.items()
            for trait, value in traits.items()
        ]
        config = self.folder / "jupyterhub_config.py"
        config.write_text("c = get_config()\n" + "\n".join(lines) + "\n")
        config.chmod(0o600)

    def argv(self) -> list[str]:
        return [str(PREFIX / "bin/python"), "-m", "jupyterhub", "-f", str(self.folder / "jupyterhub_config.py")]

    def admin_token(self) -> str:
        return self._token

    def shared(self) -> list[psutil.Process]:
        return []


def versions() -> dict[str, str]:
    """Versions of what only the plain side has."""
    package = proxy_command().parents[1] / "configurable-http-proxy/package.json"
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=10).stdout.strip()
    return {"configurable-http-proxy": json.loads(package.read_text())["version"], "node": node}
