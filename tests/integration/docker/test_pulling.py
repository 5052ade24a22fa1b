"""pharma-docker row 7: an image is pulled ahead, or at a start, from a registry; how far it is, is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import wait_until
from tests.integration.docker.daemon import SKELETON, Dockerd
from tests.integration.docker.registry import registry
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def slow(dockerd: Dockerd) -> Iterator[str]:
    """The name of an image that takes five seconds to be pulled."""
    with registry(dockerd, SKELETON, 5000, 20 * 2**20) as name:
        yield name


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], slow: str) -> Service:
    return docker_service(image=slow, pull="missing").up(wait=90)


def percentages(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"Pulling the image \S+?:? \(?(\d+) %", text)]


def test_up_pulls_ahead_and_says_how_far_it_is(running: Service, slow: str) -> None:
    assert f"Pulling the image {slow}" in running.output()
    (found,) = json.loads(running.cli("images", "list", "--json").stdout)
    assert found["image"] == slow and not found.get("problem")


def test_a_start_pulls_what_is_missing_and_says_how_far_it_is(
    dockerd: Dockerd, running: Service, slow: str, module_account: Callable[..., object]
) -> None:
    with dockerd.client() as client:
        client.remove_image(slow)
    user = module_account().name  # type: ignore[attr-defined]
    running.add_user(user)
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(running.api, "POST", f"/users/{user}/server", {})
        wait_until(lambda: running.server(user).get("pending") == "spawn", 20)
        told = running.api("GET", f"/users/{user}/server/progress")
        assert asked.result(60).status_code in (201, 202)
    seen = percentages(told.text)
    assert len(seen) >= 3 and seen == sorted(seen) and seen[0] < 60, told.text
    assert running.server(user)["ready"]


def test_the_command_pulls_with_progress(dockerd: Dockerd, running: Service, slow: str) -> None:
    assert f"{slow} is here, with JupyterHub" in running.cli("images", "pull").stderr
