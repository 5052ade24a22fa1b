"""pharma-docker rows 1, 3, 5 and 8: sizes asked for through the REST API, and what the kernel then holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import measured
from tests.integration.docker.containers import inspected
from tests.integration.docker.daemon import FOLDERS, SKELETON, Dockerd
from tests.running import Service

from hubwright.engines.docker import daemon
from hubwright.engines.docker.container import Container
from hubwright.engines.docker.diagnosis import in_words
from hubwright.errors import HubwrightError
from hubwright.fields import instance_of
from hubwright.machine import cgroups, gpus

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(180)]

PROFILES = {
    "sizes": {
        "Tiny": {"cpu": 0.5, "memory": "400M", "processes": 64},
        "Small": {"cpu": 1, "memory": "600M"},
        "Graphics": {"cpu": 1, "memory": "600M", "gpu": 1},
    },
    "default": {
        "sizes": ["Tiny", "Small", "Graphics"],
        "reserve": {"cpu": 0.25, "memory": "100M"},
        "servers": 3,
        "total": {"cpu": 1.5, "memory": "1G"},
    },
}

AROUND = {
    "mem_limit": "64G",
    "cpu_limit": 64.0,
    "image": "root:latest",
    "volumes": {"/": "/host"},
    "extra_host_config": {"privileged": True, "pids_limit": -1, "mem_limit": "64g"},
    "extra_create_kwargs": {"user": "0"},
    "apply_user_options": {"size": "image", "cpu": "cpu_limit"},
}
"""What dockerspawner would take for other limits, and for more than a container of ours may do."""


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service]) -> Iterator[Service]:
    limits = {"servers": 3, "cap": {"memory": "3G", "cpu": 2}, "volumes": FOLDERS}
    yield docker_service({"profiles": PROFILES, "extra": {"ContainerSpawner": AROUND}}, **limits).up()


@pytest.fixture(scope="module")
def ada(module_account: Callable[..., Any]) -> Any:
    return module_account()


@pytest.fixture(scope="module")
def kernel(running: Service, ada: Any) -> Any:
    return running.start(ada.name, body={"size": "Tiny", "reserve": {"cpu": 0.2, "memory": "64M"}}).kernel()


def test_memory_past_the_limit_is_killed(kernel) -> None:
    """A child of the kernel takes more than the 400M; it ends by the kernel's SIGKILL, the notebook goes on."""
    code = """
import json, subprocess, sys
took = [sys.executable, "-c", "x = bytearray(700 * 2**20); print(len(x))"]
print(json.dumps(subprocess.run(took, capture_output=True).returncode))
"""
    assert kernel.value(code) == -9
    assert kernel.value("import json; print(json.dumps(1 + 1))") == 2


def test_processors_are_capped_within_a_tenth(kernel) -> None:
    code = """
import json, multiprocessing, time
def burn(end):
    while time.time() < end: pass
    return time.process_time()
context = multiprocessing.get_context("fork")
begun = time.time()
ends = begun + 4
with context.Pool(2) as pool:
    used = sum(pool.map(burn, [ends, ends]))
print(json.dumps(used / (time.time() - begun)))
"""
    found = measured(lambda: kernel.value(code), 0.45)
    assert 0.45 <= max(found) <= 0.55, found


def test_processes_are_capped(kernel) -> None:
    code = """
import json, subprocess
made = []
try:
    while len(made) < 100: made.append(subprocess.Popen(["sleep", "60"]))
except OSError as error:
    print(json.dumps(type(error).__name__))
finally:
    for one in made: one.kill()
    for one in made: one.wait()
"""
    assert kernel.value(code) == "BlockingIOError"


def test_the_reserve_is_told_to_docker(dockerd: Dockerd, running, ada, kernel) -> None:
    host = inspected(dockerd, running, ada.name)["HostConfig"]
    assert (host["MemoryReservation"], host["CpuShares"]) == (64 * 2**20, 205)
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (400 * 2**20, 400 * 2**20, 64)


def test_what_extra_says_beside_the_profile_changes_nothing(dockerd: Dockerd, running, ada, kernel) -> None:
    found = inspected(dockerd, running, ada.name)
    host = found["HostConfig"]
    assert (host["Privileged"], host["CpuQuota"], host["Binds"]) == (False, 50_000, None)
    assert (found["Config"]["Image"], found["Config"]["User"]) == (SKELETON, f"{ada.uid}:{ada.gid}")
    assert "/" not in {mount["Source"] for mount in found["Mounts"]}


@pytest.mark.parametrize(
    "body", [{"cpu": 100}, {"memory": "1T"}, {"cpu": 0}, {"memory": -1}, {"size": "Extreme"}, {"image": "x"}]
)
def test_what_may_not_be_had_does_not_start(dockerd, running, module_account, body) -> None:
    user = module_account()
    running.add_user(user.name)
    answer = running.api("POST", f"/users/{user.name}/server", body)
    assert 400 <= answer.status_code < 404, answer.text
    with pytest.raises(Exception, match="No such container"):
        inspected(dockerd, running, user.name)


def test_a_size_with_a_gpu_is_refused_where_there_is_none(running, module_account) -> None:
    if gpus.ids():
        pytest.skip("needs a machine without a GPU")
    user = module_account()
    running.add_user(user.name)
    answer = running.api("POST", f"/users/{user.name}/server", {"size": "Graphics"})
    assert (answer.status_code, answer.json()["message"]) == (403, "This size needs 1 GPU; the machine has none.")


def test_a_docker_that_hands_out_no_gpus_says_so(dockerd) -> None:
    wanted = Container("hwt", "k", "ada", "", SKELETON, ("true",), 1000, 1000, "/", gpus=("GPU-a",)).as_api()
    made = daemon.ask(dockerd.url, "create_container_from_config", wanted, "hwt-gpu")["Id"]
    try:
        with pytest.raises(HubwrightError) as refused:
            daemon.ask(dockerd.url, "start", made)
    finally:
        daemon.ask(dockerd.url, "remove_container", made, force=True)
    assert "hands out no GPUs" in in_words(refused.value)


def test_all_servers_of_a_user_together_have_a_total(running, ada, kernel) -> None:
    running.start(ada.name, "second", {"size": "Small"})
    answer = running.api("POST", f"/users/{ada.name}/servers/third", {"size": "Tiny"})
    assert answer.status_code == 403 and "together" in answer.text
    running.stop(ada.name, "second")


def test_all_containers_together_have_a_cap(dockerd, running, ada, kernel) -> None:
    """Row 8."""
    found = cgroups.find(f"hubwright-{instance_of(running.state)}")
    folder = found.mounts["memory"] / found.base
    name = "memory.max" if found.version == 2 else "memory.limit_in_bytes"
    assert int((folder / name).read_text()) == 3 * 2**30
    container = inspected(dockerd, running, ada.name)["Id"]
    assert os.path.isdir(folder / container)
    quota = found.mounts["cpu"] / found.base / ("cpu.max" if found.version == 2 else "cpu.cfs_quota_us")
    assert quota.read_text().split()[0] == "200000"
