"""pharma-docker row 7: an image that is missing or unfit, and a hub that cannot be reached, are said as such."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.integration.docker.daemon import SKELETON, Dockerd
from tests.integration.docker.registry import registry
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

PORT = 5001
IMAGES = {
    "Good": SKELETON,
    "Gone": "hwt/gone:1",
    "Foreign": "hwt/foreign:1",
    "Fetched": "127.0.0.1:9/hwt/elsewhere:1",
    "Private": f"127.0.0.1:{PORT}/hwt/private:1",
}


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], dockerd: Dockerd) -> Iterator[Service]:
    dockerd.make_foreign("hwt/foreign:1")
    dockerd.make_skeleton("hwt/bare:1", search="/nowhere")
    profiles = {
        "sizes": {"Small": {"cpu": 1, "memory": "600M"}},
        "images": {**IMAGES, "Bare": "hwt/bare:1"},
        "default": {"sizes": ["Small"], "images": [*IMAGES, "Bare"]},
    }
    with registry(dockerd, SKELETON, PORT, 1024):
        yield docker_service({"profiles": profiles}, pull="missing", start_timeout=40).up()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("Gone", "Docker cannot find image hwt/gone:1"),
        ("Fetched", "Docker cannot find image 127.0.0.1:9/hwt/elsewhere:1 on this machine, and its registry"),
        ("Private", f"The registry refuses to hand out 127.0.0.1:{PORT}/hwt/private:1"),
        ("Foreign", "is for arm64 processors, and this machine has"),
        ("Bare", "holds no Jupyter"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(running, module_account, image, words) -> None:
    user = module_account()
    running.add_user(user.name)
    answer = running.api("POST", f"/users/{user.name}/server", {"image": image})
    assert answer.status_code == 500 and words in answer.json()["message"], answer.text
    assert words.split(" on this")[0] in running.output()  # `up` has said it before


def test_the_images_command_says_it_too(running) -> None:
    done = running.cli("images", "list", "--json", check=False)
    found = {one["image"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 71 and found[SKELETON]["jupyterhub"].startswith("6.")
    assert found["hwt/gone:1"]["problem"] == "not on this machine"
    done = running.cli("images", "pull", "hwt/gone:1", check=False)
    assert done.returncode == 71 and "Docker cannot find image hwt/gone:1" in done.stderr


def test_a_hub_that_containers_cannot_reach_is_said(running, module_account) -> None:
    user = module_account()
    running.add_user(user.name)
    folder = running.run / "api"
    folder.chmod(0o700)
    try:
        running.api("POST", f"/users/{user.name}/server", {"image": "Good"})
        token = running.token(user.name)
        stream = running.api("GET", f"/users/{user.name}/server/progress", headers={"Authorization": f"token {token}"})
    finally:
        folder.chmod(0o755)
    assert "The container cannot reach the hub" in stream.text and "Permission denied" in stream.text, stream.text
