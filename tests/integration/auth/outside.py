"""A real hub of one of the kinds whose people are known elsewhere; everybody gets a server of a plain process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.integration.auth.hub import RunningHub

from hubwright.fields import Site


def site_of(folder: Path, port: int) -> Site:
    return Site(
        config=None,
        state=folder,
        run=folder,
        prefix=Path(sys.prefix),
        account="",  # so that whoever comes is served: there is no helper, and no one account either
        privileged=False,
        listen=("127.0.0.1", port),
        public_url=f"http://127.0.0.1:{port}/",
    )


def secret(folder: Path, name: str, text: str) -> None:
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    path = folder / "secrets" / name
    path.write_text(text)
    path.chmod(0o600)


def hub_of(kind: Any, config: Any, folder: Path, port: int, listed: tuple[str, ...] = ()) -> RunningHub:
    """Return a hub, not started; `listed` are the names of `hub.admins`."""
    settings: dict[str, Any] = {"Authenticator": {"admin_users": list(listed), "allowed_users": list(listed)}}
    settings["Spawner"] = {
        "cmd": [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"],
        "notebook_dir": str(folder),
        "start_timeout": 90,
        "http_timeout": 90,
    }
    kind.configure(config, site_of(folder, port), settings)
    return RunningHub(folder, port, settings)
