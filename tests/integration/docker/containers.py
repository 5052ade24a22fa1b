"""What Docker and the kernel say of a user's container."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from tests.integration.docker.daemon import Dockerd
from tests.running import Service

import hubwright
from hubwright.engines.docker import cap, enter
from hubwright.engines.docker.container import name_of
from hubwright.fields import instance_of, server_key
from hubwright.machine import cgroups


def lend_start(folder: Path) -> list[str]:
    """Put Hubwright into a folder, as our image holds it; return the command with which that image starts servers."""
    source = Path(hubwright.__file__).parent
    shutil.copytree(source, folder / "hubwright", ignore=shutil.ignore_patterns("__pycache__"))
    entry = folder / "hubwright" / Path(enter.__file__).relative_to(source)
    start = (
        f"import runpy, sys; sys.path.insert(1, {str(folder)!r}); runpy.run_path({str(entry)!r}, run_name='__main__')"
    )
    return [sys.executable, "-c", start, enter.COMMAND]


def inspected(dockerd: Dockerd, service: Service, user: str, server: str = "") -> dict[str, Any]:
    """Return what Docker says of a user's container."""
    with dockerd.client() as client:
        return dict(client.inspect_container(name_of(instance_of(service.state), server_key(user, server))))


def group(dockerd: Dockerd, service: Service, user: str, server: str = "") -> cgroups.Group:
    """Return the control group that the container is in."""
    instance = instance_of(service.state)
    hierarchy = cgroups.find(f"hubwright-{instance}")
    path = cap.folder(instance, cap.driver(dockerd.url), inspected(dockerd, service, user, server)["Id"])
    return cgroups.Group(hierarchy, path)
