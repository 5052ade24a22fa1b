"""A Docker daemon for all tests of the engine, and services that use it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.docker.daemon import FOLDERS, SKELETON, Dockerd
from tests.running import Service


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """A running daemon with the skeleton image."""
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd: apt-get install docker.io")
    made = Dockerd()
    try:
        made.start()
        made.make_skeleton()
        yield made
    finally:
        made.clean()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of root's that everybody may enter."""
    made = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def docker_service(service: Callable[..., Service], dockerd: Dockerd) -> Callable[..., Service]:
    """Make services on the daemon, `docker_service(memory="1G", extra={...})`; further sections in `more`."""

    def make(more: dict[str, Any] | None = None, **engine: Any) -> Service:
        section = {"kind": "docker", "socket": dockerd.url, "image": SKELETON, "pull": "never", "volumes": FOLDERS}
        settings = {
            "hub": {"listen": "127.0.0.1:@PORT@"},
            "auth": {"kind": "pam", "allow": "all"},
            "engine": {**section, **engine},
            **(more or {}),
        }
        # JSON is YAML
        return service(json.dumps(settings, indent=1).replace("@PORT@", "{port}"))

    return make
