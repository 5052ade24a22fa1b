"""The metrics of a real service: figures that are the kernel's, told to whom they may be, and to nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import Account, wait_until
from tests.integration.test_full_disk import fill
from tests.running import PLAIN, Kernel, Service, port

from hubwright.fields import server_key
from hubwright.machine import async_wire, cgroups

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

MIB = 2**20
YAML = """\
hub:
  listen: "127.0.0.1:{port}"
  admins: ["{admin}"]
auth:
  kind: pam
  allow: all
engine: {kind: local, memory: 1G, cpu: 0.5, processes: 200, servers: 2}
metrics: {every: 2s, disk_every: 1m}
"""


class Measured:
    """A service with an admin and two users, of whom the first one's kernel computes and holds memory."""

    def __init__(self, service: Service, admin: str, first: str, second: str) -> None:
        self.service, self.admin, self.first, self.second = service, admin, first, second
        service.up()
        for name in (admin, first, second):
            service.add_user(name)
        self.kernel: Kernel = service.start(first).kernel()
        service.start(second)

    def usage(self, user: str | None, query: str = "") -> httpx.Response:
        token = {"Authorization": f"token {self.service.token(user)}"} if user else {}
        return httpx.get(f"{self.service.url}/hub/api/hubwright/usage{query}", headers=token, timeout=30, **PLAIN)

    def server(self, user: str) -> dict[str, Any]:
        answer = self.usage(user)
        assert answer.status_code == 200, answer.text
        found = [one for one in answer.json()["servers"] if one["user"] == user]
        return found[0] if found else {}

    def truth(self, user: str) -> cgroups.Usage:
        """What the kernel counts."""
        hierarchy = cgroups.find(f"hubwright-{self.service.run.name}")
        return hierarchy.group(f"user.{pwd.getpwnam(user).pw_uid}", server_key(user, "")).usage()


@pytest.fixture(scope="module")
def measured(service: Callable[..., Service], module_account: Callable[..., Account]) -> Measured:
    names = [module_account().name for _ in range(3)]
    running = service(YAML.replace("{admin}", names[0]))
    return Measured(running, *names)


def between(counted: list[tuple[float, float]], moment: float) -> float:
    """Return what was counted by a moment, by the two looks around it."""
    (before, low), (after, high) = next(pair for pair in pairwise(counted) if pair[0][0] <= moment <= pair[1][0])
    return low + (high - low) * (moment - before) / (after - before)


def test_a_kernel_that_computes_and_holds_memory_is_seen_within_ten_seconds(measured: Measured) -> None:
    before = measured.truth(measured.first).cpu
    began = time.monotonic()
    measured.kernel.run("held = bytearray(300 << 20); held[::4096] = bytes(76800)")  # without a moment of twice that
    number = measured.kernel.send("import time\nend = time.time() + 25\nwhile time.time() < end: pass")
    try:
        wait_until(lambda: measured.server(measured.first).get("memory", 0) > 300 * MIB, 12)
        wait_until(lambda: (measured.server(measured.first)["cpu"] or 0) > 0.1, 12)
        truth = measured.truth(measured.first)
        assert measured.server(measured.first)["memory"] == pytest.approx(truth.memory, rel=0.15)
        # processors: what was told of the next seconds against what the kernel counted over just these
        told: dict[float, float] = {}
        counted: list[tuple[float, float]] = []
        while not counted or time.time() < counted[0][0] + 10:
            counted.append((time.time(), measured.truth(measured.first).cpu))
            answer = measured.usage(measured.first).json()
            told[answer["at"]] = answer["servers"][0]["cpu"]
            time.sleep(0.2)
        moments = [one for one in sorted(told) if counted[0][0] <= one <= counted[-1][0]]
        said = sum(told[end] * (end - begin) for begin, end in pairwise(moments))
        real = between(counted, moments[-1]) - between(counted, moments[0])
        assert moments[-1] - moments[0] > 3
        assert said == pytest.approx(real, rel=0.15), f"told {said}, counted {real}, {told}"
        assert time.monotonic() - began < 60
    finally:
        for _ in measured.kernel.messages(number):
            if measured.kernel.model()["execution_state"] == "idle":
                break
    assert measured.truth(measured.first).cpu > before
    found = measured.server(measured.first)
    assert (found["cpu_limit"], found["memory_limit"], found["processes_limit"]) == (0.5, 2**30, 200)


def test_a_user_sees_his_own_and_the_machine(measured: Measured) -> None:
    answer = measured.usage(measured.second, "?hours=1").json()
    assert {one["user"] for one in answer["servers"]} == {measured.second}
    assert {one["user"] for one in answer["homes"]} <= {measured.second}
    assert {one["user"] for one in answer["history"]["servers"]} <= {measured.second}
    assert "users" not in answer
    assert answer["machine"]["servers"] == 2
    assert answer["machine"]["memory_total"] > 2**30
    assert measured.first not in json.dumps(answer)


def test_nobody_sees_another_ones(measured: Measured) -> None:
    for query in (f"?user={measured.first}", "?all=1", f"?all=1&user={measured.second}", "?user=nobody-at-all"):
        assert measured.usage(measured.second, query).status_code == 403, query


def test_nothing_is_told_without_a_login(measured: Measured) -> None:
    for path in ("usage", "usage?all=1", f"usage?user={measured.first}", "prometheus"):
        answer = httpx.get(f"{measured.service.url}/hub/api/hubwright/{path}", timeout=30, **PLAIN)
        assert answer.status_code in (401, 403), path
        assert measured.first not in answer.text.replace(f"user={measured.first}", "")
    wrong = {"Authorization": "token 0123456789abcdef"}
    assert httpx.get(f"{measured.service.url}/hub/api/hubwright/usage", headers=wrong, **PLAIN).status_code == 403


def test_a_notebooks_own_token_sees_nothing(measured: Measured) -> None:
    code = "import os, json; print(json.dumps(os.environ['JUPYTERHUB_API_TOKEN']))"
    token = {"Authorization": f"token {measured.kernel.value(code)}"}
    answer = httpx.get(f"{measured.service.url}/hub/api/hubwright/usage", headers=token, **PLAIN)
    assert answer.status_code == 403


def test_an_admin_sees_everybody(measured: Measured) -> None:
    answer = measured.usage(measured.admin, "?all=1&hours=1&points=60")
    assert answer.status_code == 200
    found = answer.json()
    assert {one["user"] for one in found["servers"]} == {measured.first, measured.second}
    users = {one["user"]: one for one in found["users"]}
    assert users[measured.first]["memory"] > users[measured.second]["memory"]
    assert users[measured.second]["memory_day"] >= 0
    wait_until(lambda: measured.usage(measured.admin, "?all=1&hours=1").json()["history"]["users"], 40)
    one = measured.usage(measured.admin, f"?user={measured.first}&server=").json()
    assert [server["user"] for server in one["servers"]] == [measured.first]


@pytest.mark.parametrize("query", ["?hours=nan", "?hours=-1", "?hours=x", "?hours=1e9", "?hours=1&points=inf"])
def test_a_number_that_is_none_is_refused_in_words(measured: Measured, query: str) -> None:
    answer = measured.usage(measured.second, query)
    assert answer.status_code == 400
    assert "is not a number above zero" in answer.json()["message"]


def test_the_disk_of_homes_is_counted(measured: Measured) -> None:
    wait_until(lambda: measured.usage(measured.first).json()["homes"], 60)
    (home,) = measured.usage(measured.first).json()["homes"]
    assert home["user"] == measured.first
    assert 4096 <= home["bytes"] < 100 * MIB
    assert home["whole"]


def test_prometheus_is_behind_its_own_scope(measured: Measured) -> None:
    url = f"{measured.service.url}/hub/api/hubwright/prometheus"
    user = {"Authorization": f"token {measured.service.token(measured.second)}"}
    assert httpx.get(url, headers=user, **PLAIN).status_code == 403
    token = measured.service.cli("metrics", "token", measured.admin).stdout.strip()
    only = {"Authorization": f"token {token}"}
    answer = httpx.get(url, headers=only, timeout=30, **PLAIN)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    samples = families["hubwright_server_memory_working_set_bytes"].samples
    assert {sample.labels["user"] for sample in samples} == {measured.first, measured.second}
    (spent,) = [
        sample.value
        for sample in families["hubwright_server_cpu_seconds"].samples
        if sample.labels["user"] == measured.first
    ]
    assert spent == pytest.approx(measured.truth(measured.first).cpu, rel=0.15)
    assert httpx.get(f"{measured.service.url}/hub/api/users", headers=only, **PLAIN).status_code == 403, (
        "it gives nothing else"
    )


def test_the_socket_is_the_hubs_alone(measured: Measured) -> None:
    path = measured.service.run / "metrics.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    assert "PermissionError" in measured.kernel.run(code)
    history = measured.service.state / "metrics.sqlite"
    assert history.stat().st_mode & 0o077 == 0
    assert "Error" in measured.kernel.run(f"open({str(history)!r})")


def test_a_killed_process_is_started_again_and_keeps_its_history(measured: Measured) -> None:
    measured.kernel.run("kept = 'here'")

    def points() -> list[float]:
        history = (
            measured.usage(measured.first, "?hours=0.5&points=120").json().get("history", {"machine": {"cpu": []}})
        )
        return [point for point in history["machine"]["cpu"] if point is not None]

    wait_until(lambda: len(points()) >= 2, 60)
    before = len(points())
    pid = measured.service.part("metrics")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: measured.service.part("metrics") not in (0, pid), 20)
    wait_until(lambda: measured.usage(measured.first).status_code == 200, 20)
    wait_until(lambda: measured.server(measured.first), 20)
    assert len(points()) >= before - 1
    assert measured.kernel.run("kept") == "'here'"


def test_the_hub_answers_while_the_metrics_hang(measured: Measured) -> None:
    pid = measured.service.part("metrics")
    os.kill(pid, signal.SIGSTOP)
    try:
        with httpx.Client(timeout=30, **PLAIN) as client:
            asking = subprocess.Popen(
                ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                 f"Authorization: token {measured.service.token(measured.first)}",
                 f"{measured.service.url}/hub/api/hubwright/usage"],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            slowest = 0.0
            while asking.poll() is None:
                began = time.monotonic()
                assert client.get(f"{measured.service.url}/hub/health").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.05)
            assert asking.communicate()[0] == "503"
            assert slowest < 2
    finally:
        os.kill(pid, signal.SIGCONT)
    answer = measured.usage(measured.first)
    assert answer.status_code == 200


def test_a_server_that_ended_is_gone_and_stays_in_the_history(measured: Measured) -> None:
    wait_until(lambda: measured.usage(measured.second, "?hours=1").json()["history"]["servers"], 60)
    measured.service.stop(measured.second)
    wait_until(lambda: not measured.server(measured.second), 15)
    assert measured.usage(measured.second).json()["machine"]["servers"] == 1
    lines = measured.usage(measured.second, "?hours=1").json()["history"]["servers"]
    assert [line["user"] for line in lines] == [measured.second]


def test_a_new_person_of_a_deleted_name_sees_nothing_of_the_old_one(
    measured: Measured, module_account: Callable[..., Account]
) -> None:
    name, service = module_account().name, measured.service
    service.start(name)
    wait_until(lambda: measured.usage(name, "?hours=1").json()["history"]["servers"], 60)
    service.stop(name)
    assert service.api("DELETE", f"/users/{name}").status_code == 204
    service.tokens.pop(name)
    service.add_user(name)
    assert measured.usage(name, "?hours=1").json()["history"]["servers"] == []
    assert measured.usage(measured.admin, f"?hours=1&user={name}").json()["history"]["servers"] == []


def test_the_notebook_shows_the_same_limits(measured: Measured) -> None:
    answer = measured.kernel.notebook.ask("GET", "api/metrics/v1")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["limits"]["memory"]["rss"] == 2**30
    assert found["limits"]["cpu"]["cpu"] == 0.5
    assert found["rss"] == pytest.approx(measured.truth(measured.first).memory, rel=0.15)


async def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    async with async_wire.connect(path) as connection:
        connection.send(request)
        head = await connection.receive(10)
        found: dict[str, Any] = json.loads(await connection.receive_bytes(head["bytes"], 10))
        return found


def test_a_full_disk_is_told_and_the_figures_go_on(small: Path, account: Callable[..., Account]) -> None:
    number, user = port(), account().name
    running = Service(small, YAML.replace("{port}", str(number)).replace("{admin}", user), number)
    try:
        running.up()
        running.start(user)

        def usage() -> dict[str, Any]:
            """What the metrics say; the hub itself cannot write what it must while the disk is full."""
            return asyncio.run(ask(running.run / "metrics.sock", {"op": "usage", "users": None}))

        wait_until(lambda: usage().get("servers"), 20)
        ballast = fill(small)
        wait_until(lambda: "cannot be written" in usage()["warning"], 60)
        before = usage()["at"]
        wait_until(lambda: usage()["at"] > before, 10)
        assert usage()["servers"][0]["memory"] > 0
        ballast.unlink()
        wait_until(lambda: usage()["warning"] == "", 60)
        logged = (running.state / "logs" / "metrics.log").read_text()
        assert "is written again" in logged
    finally:
        running.clean()
        shutil.rmtree(running.run, ignore_errors=True)


@pytest.fixture
def without_root(account: Callable[..., Account]) -> Iterator[Service]:
    """A service that an ordinary user starts."""
    person = account()
    folder = person.home / "service"
    folder.mkdir(mode=0o700)
    os.chown(folder, person.uid, person.gid)
    number = port()
    yaml = f'hub: {{listen: "127.0.0.1:{number}"}}\nauth: {{kind: pam, allow: all}}\nmetrics: {{every: 2s}}\n'
    service = Service(folder, yaml, number, person)
    yield service.up()
    service.clean()


def test_without_root_processes_are_counted(without_root: Service) -> None:
    user = without_root.account.name
    kernel = without_root.start(user).kernel()
    kernel.run("held = bytearray(b'x' * (200 << 20))")
    token = {"Authorization": f"token {without_root.token(user)}"}

    def server() -> dict[str, Any]:
        answer = httpx.get(f"{without_root.url}/hub/api/hubwright/usage", headers=token, timeout=30, **PLAIN)
        found = answer.json().get("servers") or [{"memory": 0}]
        return dict(found[0])

    wait_until(lambda: server()["memory"] > 200 * MIB, 30)
    found = server()
    assert found["memory"] < 500 * MIB, "what a fork shares is not counted twice"
    assert found["memory_limit"] is None
    wait_until(
        lambda: httpx.get(f"{without_root.url}/hub/api/hubwright/usage", headers=token, **PLAIN).json()["homes"], 40
    )


def test_metrics_that_are_off_are_told_as_such(
    service: Callable[..., Service], account: Callable[..., Account]
) -> None:
    user = account().name
    running = service(
        YAML.replace("{admin}", user).replace("metrics: {every: 2s, disk_every: 1m}", "metrics: {enabled: false}")
    )
    running.up()
    running.add_user(user)
    assert "metrics" not in running.cli("status", check=False).stdout
    token = {"Authorization": f"token {running.token(user)}"}
    answer = httpx.get(f"{running.url}/hub/api/hubwright/usage", headers=token, timeout=30, **PLAIN)
    assert answer.status_code == 503
    assert "metrics.enabled" in answer.json()["message"]
