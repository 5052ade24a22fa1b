"""The disk that a container may fill outside the home: held by Docker on btrfs, refused in advance on ext4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import Account
from tests.integration.docker.daemon import Dockerd
from tests.running import Service

from hubwright.engines.docker import disk

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

PROFILES: dict[str, Any] = {
    "sizes": {"Small": {"cpu": 1, "memory": "600M", "disk": "300M"}, "Free": {"cpu": 1, "memory": "600M"}},
    "default": {"sizes": ["Small", "Free"]},
}
FILL = """
import os
def fill(path):
    try:
        with open(path, "wb") as file:
            for _ in range(100):
                file.write(bytes(2**22))
                file.flush()
                os.fsync(file.fileno())
        return "all of it"
    except OSError as error:
        return error.strerror
    finally:
        os.unlink(path)
"""


@pytest.fixture(scope="module")
def on_btrfs() -> Iterator[Dockerd]:
    """A daemon whose storage can limit a container's disk."""
    if shutil.which("dockerd") is None or shutil.which("mkfs.btrfs") is None:
        pytest.skip("needs dockerd and mkfs.btrfs: apt-get install docker.io btrfs-progs")
    made = Dockerd(btrfs=True)
    try:
        made.start()
        made.make_skeleton()
        yield made
    finally:
        made.clean()


def test_what_is_written_outside_the_home_is_held_to_the_size(
    on_btrfs: Dockerd, docker_service: Callable[..., Service], module_account: Callable[..., Account]
) -> None:
    assert disk.missing(on_btrfs.url) == ""
    running = docker_service({"profiles": PROFILES}, socket=on_btrfs.url).up()
    user = module_account()
    kernel = running.start(user.name, body={"size": "Small"}).kernel()
    kernel.run(FILL)
    assert kernel.run("print(fill('/tmp/full'))").strip() == "Disk quota exceeded", "400M in 300M"
    assert kernel.run("print(fill(os.path.expanduser('~/full')))").strip() == "all of it"
    running.stop(user.name)
    kernel = running.start(user.name, body={"size": "Free"}).kernel()
    kernel.run(FILL)
    assert kernel.run("print(fill('/tmp/full'))").strip() == "all of it"
    running.stop(user.name)
    running.down()


def test_where_it_cannot_be_held_the_check_and_the_start_say_so(
    dockerd: Dockerd, docker_service: Callable[..., Service], module_account: Callable[..., Account]
) -> None:
    if not (why := disk.missing(dockerd.url)):
        pytest.skip("needs a Docker whose storage limits no container's disk; this one's does")
    made = docker_service({"profiles": PROFILES})
    (made.folder / "hub.yaml").write_text(made.yaml)
    problems = json.loads(made.cli("check", "--json", check=False).stdout)["problems"]
    (found,) = [one for one in problems if "sizes.Small.disk" in one["where"]]
    assert found["severity"] == "error" and why in found["what"]
    user = module_account()
    made.up().add_user(user.name)
    refused = made.api("POST", f"/users/{user.name}/server", {"size": "Small"})
    assert refused.status_code == 403
    assert f"A server of this size cannot be started: {why}." in refused.json()["message"]
    made.start(user.name, body={"size": "Free"})
