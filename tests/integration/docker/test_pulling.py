"""pharma-docker row 7: images are pulled ahead, or at a start, from a registry; how far it is, is told."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import docker
import pytest
from tests.conftest import Account, wait_until
from tests.integration.docker.daemon import SKELETON, Dockerd
from tests.integration.docker.registry import registry
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def slow(dockerd: Dockerd) -> Iterator[str]:
    """The name of an image that takes three seconds to be pulled."""
    with registry(dockerd, SKELETON, 5000, 12 * 2**20) as name:
        yield name


@pytest.fixture(scope="module")
def other(dockerd: Dockerd) -> Iterator[str]:
    """The name of another one, which takes two."""
    with registry(dockerd, SKELETON, 5002, 8 * 2**20) as name:
        yield name


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], slow: str, other: str) -> Service:
    profiles = {
        "sizes": {"Small": {"cpu": 1, "memory": "600M"}},
        "images": {"Slow": slow, "Other": other},
        "default": {"sizes": ["Small"], "images": ["Slow", "Other"]},
    }
    return docker_service({"profiles": profiles}, pull="missing").up(wait=90)


def percentages(text: str, image: str) -> list[int]:
    found = re.findall(rf"Pulling the image {re.escape(image)}:? \(?(\d+) %", text)
    return [int(one) for one in found]


def grows(percents: list[int]) -> bool:
    """Whether they begin low, end high, never fall, and there are some between."""
    return percents == sorted(percents) and len(set(percents)) >= 3 and percents[0] < 50 < percents[-1]


def in_terminal(
    service: Service, *words: str, number: int = 0, when: Callable[[str], object] = bool
) -> tuple[str, int]:
    """Run a command in a terminal; return what it shows there and its exit code.

    Args:
        number: a signal that is sent to it once `when` holds for what it has shown.
        when: see `number`.
    """
    ours, theirs = pty.openpty()
    env = {**service.env(), "TERM": "xterm", "COLUMNS": "200"}
    command = ["env", "--default-signal", *service.command(*words)]  # the tests may have been started to ignore some
    program = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown, sent, deadline = b"", False, time.monotonic() + 90
    try:
        with suppress(OSError):  # the other end is closed
            while (part := os.read(ours, 4096)) and time.monotonic() < deadline:
                shown += part
                if number and not sent and when(shown.decode(errors="replace")):
                    program.send_signal(number)
                    sent = True
        return shown.decode(errors="replace"), program.wait(30)
    finally:
        program.kill()
        program.wait(10)
        os.close(ours)


@pytest.fixture
def removed(dockerd: Dockerd, running: Service, slow: str, other: str) -> None:
    """Neither image is on the machine."""
    with dockerd.client() as client:
        for name in (slow, other):
            with suppress(docker.errors.ImageNotFound):
                client.remove_image(name, force=True)


def here(service: Service) -> dict[str, bool]:
    return {
        one["image"]: one["here"] for one in json.loads(service.cli("images", "list", "--json", check=False).stdout)
    }


def test_up_pulls_ahead_what_anybody_may_choose_and_says_so(running: Service, slow: str, other: str) -> None:
    said = running.output()
    assert said.index(f"Pulling the image {slow} ...") < said.index(f"Pulling the image {other} ...")
    found = json.loads(running.cli("images", "list", "--json").stdout)
    assert [one["image"] for one in found] == [slow, other]
    assert not any(one["problem"] for one in found)


def test_a_start_pulls_what_is_missing_and_says_how_far_it_is(
    dockerd: Dockerd, running: Service, slow: str, module_account: Callable[..., Account]
) -> None:
    with dockerd.client() as client:
        client.remove_image(slow)
    user = module_account().name
    running.add_user(user)
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(running.api, "POST", f"/users/{user}/server", {"image": "Slow"})
        wait_until(lambda: running.server(user).get("pending") == "spawn", 20)
        told = running.api("GET", f"/users/{user}/server/progress")
        assert asked.result(60).status_code in (201, 202)
    assert grows(percentages(told.text, slow)), told.text
    assert running.server(user)["ready"]
    running.stop(user)


@pytest.mark.usefixtures("removed")
def test_the_command_pulls_all_of_hub_yaml_and_shows_each_ones_progress(
    running: Service, slow: str, other: str
) -> None:
    shown, code = in_terminal(running, "images", "pull")
    assert code == 0, shown
    for name in (slow, other):
        assert grows(percentages(shown, name)), shown
        assert f"{name} is here, with JupyterHub 6." in shown
    assert shown.index(f"{slow} is here") < shown.index(f"Pulling the image {other}"), "one after the other"
    assert here(running) == {slow: True, other: True}


@pytest.mark.usefixtures("removed")
def test_without_a_terminal_it_says_once_what_it_does(running: Service, slow: str, other: str) -> None:
    told = running.cli("images", "pull", other).stderr
    assert told.count(f"Pulling the image {other} ...") == 1 and "%" not in told
    assert f"{other} is here, with JupyterHub 6." in told
    assert here(running) == {slow: False, other: True}


@pytest.mark.usefixtures("removed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_is_ended_leaves_no_half_image_and_can_be_done_again(
    running: Service, slow: str, number: int
) -> None:
    shown, code = in_terminal(
        running, "images", "pull", slow, number=number, when=lambda text: max(percentages(text, slow), default=0) >= 10
    )
    assert code != 0 and "is here" not in shown and "Traceback" not in shown, shown
    assert here(running)[slow] is False
    again, code = in_terminal(running, "images", "pull", slow)
    assert code == 0 and percentages(again, slow)[-1] > 50 and f"{slow} is here" in again, again
