"""GPUs of containers: each server has its own. This machine needs none: nodes like /dev/zero stand in for GPUs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import docker
import pytest
from tests.conftest import Account, wait_until
from tests.gpu_nodes import NODES, made
from tests.integration.docker.containers import inspected
from tests.integration.docker.daemon import SKELETON, Dockerd
from tests.running import Service

from hubwright.fields import instance_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

PROFILES = {
    "sizes": {
        "One": {"cpu": 1, "memory": "600M", "gpu": 1},
        "Two": {"cpu": 1, "memory": "600M", "gpu": 2},
        "None": {"cpu": 1, "memory": "600M"},
    },
    "default": {"sizes": ["One", "Two", "None"], "servers": 3},
}
LOOK = f"import json, os; print(json.dumps([os.path.exists(one) and os.access(one, os.R_OK | os.W_OK) for one in {NODES}]))"


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service]) -> Iterator[Service]:
    with made():
        yield docker_service({"profiles": PROFILES}, gpus=NODES).up()


def given(dockerd: Dockerd, service: Service, user: str, server: str = "") -> list[str]:
    devices = inspected(dockerd, service, user, server)["HostConfig"]["Devices"]
    return [one["PathOnHost"] for one in devices or ()]


def test_a_gpu_of_a_container_that_the_hub_does_not_know_is_not_given_again(
    dockerd: Dockerd, running: Service, module_account: Callable[..., Account]
) -> None:
    user = module_account()
    running.add_user(user.name)
    labels = {"hubwright.instance": instance_of(running.state), "hubwright.gpus": NODES[0]}
    config = {"Image": SKELETON, "Cmd": ["/usr/bin/sleep", "600"], "Labels": labels}
    with dockerd.client() as client:
        mounts = [{"Type": "bind", "Source": "/usr", "Target": "/usr", "ReadOnly": True}]
        made = client.create_container_from_config({**config, "HostConfig": {"Mounts": mounts}}, "hwt-lost")["Id"]
        client.start(made)
    try:
        refused = running.api("POST", f"/users/{user.name}/server", {"size": "One"})
        assert refused.status_code == 409 and "is used by the container hwt-lost" in refused.json()["message"]
        running.cli("containers", "remove", "--unknown")
        running.start(user.name, body={"size": "One"})
        assert inspected(dockerd, running, user.name)["Config"]["Labels"]["hubwright.gpus"] == NODES[0]
        running.stop(user.name)
    finally:
        with dockerd.client() as client, suppress(docker.errors.NotFound):
            client.remove_container(made, force=True)


def test_each_server_has_a_gpu_of_its_own_also_after_the_hub_was_killed(
    dockerd: Dockerd, running: Service, module_account: Callable[..., Account]
) -> None:
    ada, bob = module_account(), module_account()
    mine = running.start(ada.name, body={"size": "One"}).kernel()
    assert given(dockerd, running, ada.name) == [NODES[0]]
    assert mine.value(LOOK) == [True, False], "the node, with the group that may use it, and no other"
    os.kill(hub := running.part("hub"), signal.SIGKILL)
    wait_until(lambda: running.part("hub") not in (0, hub) and running.answers(), 60)
    running.add_user(bob.name)

    def ask(size: str, server: str = "") -> Any:
        path = f"/users/{bob.name}/servers/{server}" if server else f"/users/{bob.name}/server"
        return running.api("POST", path, {"size": size})

    refused = ask("Two")
    assert refused.status_code == 409
    assert "1 of 2 are free now. It may be when somebody who has one stops" in refused.json()["message"]
    offered = {one["name"]: one for one in running.api("GET", f"/hubwright/offer?user={bob.name}").json()["sizes"]}
    assert not offered["Two"]["fits"] and "1 of 2" in offered["Two"]["reason"] and offered["One"]["fits"]
    running.start(bob.name, body={"size": "One"})
    assert given(dockerd, running, bob.name) == [NODES[1]]
    refused = ask("One", "second")
    assert refused.status_code == 409 and "none of 2 are free now" in refused.json()["message"]
    running.start(bob.name, "plain", {"size": "None"})
    assert given(dockerd, running, bob.name, "plain") == []
    running.stop(ada.name)
    running.start(bob.name, "second", {"size": "One"})
    assert given(dockerd, running, bob.name, "second") == [NODES[0]], "the one that was given back"
