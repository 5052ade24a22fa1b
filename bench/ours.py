"""Hubwright as `hubwright up` starts it, with the local engine and no limits."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import psutil

from hubwright.engines.local.zygotes import seen
from hubwright.errors import NotRunning
from hubwright.fields import instance_of
from memory import of_users
from stack import PREFIX, Stack

# Every other descendant of `up` exists for the users' servers: counting what is not named here errs against us.
_NOT_FOR_USERS = ("jupyterhub", "caddy", "hubwright.people.account_helper", "jupyterhub_idle_culler", "hubwright up")


class Ours(Stack):
    """Hubwright's defaults; set are only the address, who may log in, and no bound on concurrent spawns."""

    name = "hubwright"
    engine: ClassVar[dict[str, Any]] = {}
    """Settings of hub.yaml's section `engine`, besides its kind."""
    environments: ClassVar[dict[str, Any]] = {}
    """Its section `environments`."""

    def __init__(self, users: list[str], *, spawner: dict[str, Any] | None = None, log_to: Path | None = None) -> None:
        super().__init__(users, spawner=spawner, log_to=log_to)
        self.state = self.folder / "state"
        self.run = Path("/run/hubwright") / instance_of(self.state)
        settings: dict[str, dict[str, Any]] = {
            "hub": {"listen": f"127.0.0.1:{self.port}"},
            "auth": {"kind": "pam", "allow": {"users": users}},
            "people": {"users": users},
            "engine": {"kind": "local"} | self.engine,
            "extra": {"JupyterHub": {"concurrent_spawn_limit": 0}},
        }
        if self.environments:
            settings["environments"] = self.environments
        if self.spawner:
            settings["extra"]["Spawner"] = self.spawner
        # JSON is YAML.
        (self.folder / "hub.yaml").write_text(json.dumps(settings, indent=2))

    def argv(self) -> list[str]:
        return [str(PREFIX / "bin/hubwright"), "up", *self._where()]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for folder in (self.run, Path("/opt/hubwright/environments") / instance_of(self.state)):
            shutil.rmtree(folder, ignore_errors=True)

    def _where(self) -> list[str]:
        return ["--config", str(self.folder / "hub.yaml"), "--state", str(self.state)]

    def admin_token(self) -> str:
        return (self.state / "secrets/cli.token").read_text().strip()

    def shared(self) -> list[psutil.Process]:
        return [one for one in self._family() if one.uids().real == 0 and not _is_for_the_service(one)]


class Merged(Ours):
    """The same with identical pages kept once, which is not the default: see docs/security.md."""

    name = "merged"
    engine: ClassVar[dict[str, Any]] = {"merge_memory": True}


class Preloaded(Ours):
    """With the environment that both sides' kernels come from as a shared one, whose kernels are forked."""

    environments: ClassVar[dict[str, Any]] = {
        "default": {"kind": "existing", "prefix": str(PREFIX), "preload": ["pandas", "matplotlib"]}
    }

    def launch(self) -> float:
        """Start the service; wait for the zygote besides, as for a service that has run for a while."""
        seconds = super().launch()
        for _ in range(600):
            with suppress(NotRunning):
                if any(zygote["ready"] for zygote in seen.ask(self.run / "zygotes.sock", 2)):
                    return seconds
            time.sleep(0.1)
        raise RuntimeError("No zygote was ready in a minute.")

    def shared(self) -> list[psutil.Process]:
        """Zygotes besides, which run as an account of their own; nobody else's zygotes run beside a benchmark."""
        return [*super().shared(), *of_users(["hubwright-zygote"])]


class PreloadedTorch(Preloaded):
    """The same with PyTorch."""

    environments: ClassVar[dict[str, Any]] = {
        "default": {"kind": "existing", "prefix": str(PREFIX), "preload": ["torch"]}
    }


def _is_for_the_service(process: psutil.Process) -> bool:
    line = " ".join(process.cmdline()) or process.name()
    if "forkserver" in line:
        return False
    return any(part in line for part in _NOT_FOR_USERS)


def versions() -> dict[str, str]:
    """Versions of what only Hubwright's side has."""
    caddy = subprocess.run([str(PREFIX / "bin/caddy"), "version"], capture_output=True, text=True, timeout=10).stdout
    return {"caddy": caddy.split()[0].lstrip("v") if caddy.split() else "?"}
