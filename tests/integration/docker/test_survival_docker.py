"""pharma-docker row 5, and: a hub that is killed, a daemon that restarts or hangs, containers that nobody knows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import wait_until
from tests.integration.docker.containers import inspected
from tests.integration.docker.daemon import Dockerd
from tests.running import Service

from hubwright.fields import instance_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service]) -> Iterator[Service]:
    often = {"extra": {"Spawner": {"poll_interval": 2}}}
    yield docker_service(often, memory="600M").up()


@pytest.fixture(scope="module")
def ada(module_account: Callable[..., Any]) -> Any:
    return module_account()


@pytest.fixture(scope="module")
def kernel(running: Service, ada: Any) -> Any:
    made = running.start(ada.name).kernel()
    made.run("x = 41")
    return made


def still_there(running: Service, user: str, kernel: Any) -> None:
    """Assert that the hub takes the server for running, and that its kernel has kept its memory."""
    running.settle(user, "")
    assert running.server(user).get("ready"), running.logs()
    assert kernel.value("import json; print(json.dumps(x + 1))") == 42


def test_a_hub_that_was_killed_adopts_the_container(running, ada, kernel) -> None:
    os.kill(hub := running.part("hub"), signal.SIGKILL)
    wait_until(lambda: running.part("hub") not in (0, hub) and running.answers(), 60)
    still_there(running, ada.name, kernel)


def test_a_daemon_that_restarts_ends_no_notebook(dockerd: Dockerd, running, ada, kernel) -> None:
    dockerd.stop()
    try:
        time.sleep(5)  # two polls
        still_there(running, ada.name, kernel)
    finally:
        dockerd.start()
    time.sleep(3)
    still_there(running, ada.name, kernel)


def test_a_daemon_that_is_frozen_for_half_a_minute_ends_no_notebook(dockerd, running, ada, kernel) -> None:
    dockerd.signal(signal.SIGSTOP)
    try:
        time.sleep(30)
        still_there(running, ada.name, kernel)
    finally:
        dockerd.signal(signal.SIGCONT)
    time.sleep(3)
    still_there(running, ada.name, kernel)


def test_a_start_without_a_daemon_says_so(dockerd, running, module_account) -> None:
    user = module_account()
    running.add_user(user.name)
    dockerd.stop()
    try:
        answer = running.api("POST", f"/users/{user.name}/server", {})
        assert answer.status_code == 503 and "The Docker daemon at" in answer.json()["message"], answer.text
        problems = json.loads(running.cli("check", "--json", check=False).stdout)["problems"]
        assert any("The Docker daemon at" in one["what"] for one in problems), problems
    finally:
        dockerd.start()


def test_changed_settings_make_a_container_anew(dockerd, running, ada, kernel) -> None:
    """Row 5: one that runs goes on as it was; the next start is by what hub.yaml says now."""
    before = inspected(dockerd, running, ada.name)
    hub = running.part("hub")
    assert running.process
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(10)
    running.yaml = running.yaml.replace('"600M"', '"800M"')
    running.up("--keep")
    wait_until(lambda: running.part("hub") not in (0, hub) and running.answers(), 60)
    still_there(running, ada.name, kernel)
    assert inspected(dockerd, running, ada.name)["Id"] == before["Id"]
    running.stop(ada.name)
    running.start(ada.name)
    after = inspected(dockerd, running, ada.name)
    assert after["HostConfig"]["Memory"] == 800 * 2**20
    label = "hubwright.settings"
    assert before["Config"]["Labels"][label] != after["Config"]["Labels"][label]


def test_a_container_that_nobody_knows_is_listed_and_removed(dockerd, running, ada, module_account) -> None:
    gone = module_account()
    running.start(gone.name)
    left = inspected(dockerd, running, gone.name)
    with dockerd.client() as client:  # as if it came from a hub whose database was lost
        config = {
            "Image": left["Image"],
            "Cmd": ["sleep", "600"],
            "Labels": left["Config"]["Labels"] | {"hubwright.user": "nobody-x"},
        }
        made = client.create_container_from_config(config, "hwt-left-behind")["Id"]
    listed = {one["name"]: one["known"] for one in json.loads(running.cli("containers", "list", "--json").stdout)}
    assert listed["hwt-left-behind"] is False and listed[left["Name"].removeprefix("/")] is True
    running.cli("containers", "remove", "--unknown")
    with dockerd.client() as client:
        ids = {one["Id"] for one in client.containers(all=True)}
    assert made not in ids and left["Id"] in ids


def test_stopping_the_service_stops_its_containers_unless_they_are_kept(dockerd, running, ada) -> None:
    def listed() -> list[str]:
        return [one["user"] for one in json.loads(running.cli("containers", "list", "--json").stdout)]

    running.down()
    running.up("--keep")
    running.settle(ada.name, "")
    if not running.server(ada.name):
        running.start(ada.name)
    running.down()
    assert ada.name in listed()
    running.up()
    running.settle(ada.name, "")
    assert running.server(ada.name).get("ready")
    running.down()
    assert listed() == []
    with dockerd.client() as client:
        assert not [one for one in client.networks() if instance_of(running.state) in one["Name"]]
