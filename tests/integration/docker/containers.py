"""What Docker and the kernel say of a user's container."""

from __future__ import annotations

from typing import Any

from tests.integration.docker.daemon import Dockerd
from tests.running import Service

from hubwright.engines.docker import cap
from hubwright.engines.docker.container import name_of
from hubwright.fields import instance_of, server_key
from hubwright.machine import cgroups


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
