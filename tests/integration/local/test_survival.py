"""Whatever is killed, the notebooks live on, are found again, and can be stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.running import PLAIN, Kernel, Notebook, Service

from hubwright.fields import server_key
from hubwright.machine.process import Process

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

PARTS = ["hub", "fork-server", "caddy", "account-helper", "metrics"]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
extra: {ForkSpawner: {poll_interval: 600}}  # so that what the hub learns, it learns from the fork server
"""


@pytest.fixture(scope="module")
def people(module_account: Callable[..., Account]) -> list[Account]:
    return [module_account(), module_account()]


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    return service(YAML).up()


@pytest.fixture
def kernel(running: Service, people: list[Account]) -> Iterator[Kernel]:
    """A kernel with a variable and an open websocket, in the first person's server."""
    name = people[0].name
    if running.server(name).get("ready"):
        running.stop(name)
    kernel = running.start(name).kernel()
    kernel.run("kept = 'here'")
    yield kernel
    running.stop(name)


def replaced(service: Service, part: str, number: int, then: Callable[[], object] = lambda: None) -> None:
    """Signal a part, do something, and wait until another process has taken its place and the hub answers."""
    old = service.part(part)
    process = Process.of(old)
    assert process and process.signal(number)
    then()
    wait_until(lambda: service.part(part) not in (0, old) and Process.of(service.part(part)), 30)
    wait_until(lambda: service.answers() and service.api("GET", "/").status_code == 200, 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed_and_comes_back(
    running: Service, kernel: Kernel, people: list[Account], part: str, number: int
) -> None:
    """State, server and route are as before; a new server starts; the old one stops."""
    pid = kernel.notebook.pid
    replaced(running, part, number)
    if part == "caddy":  # its end is the end of the connections through it
        kernel = Kernel(kernel.notebook, kernel.id)
    assert kernel.run("kept") == "'here'"
    wait_until(lambda: [one["pid"] for one in running.listed()] == [pid])
    wait_until(lambda: running.server(people[0].name).get("ready"), 30)
    assert running.start(people[1].name).kernel().run("6 * 7") == "42"
    running.stop(people[1].name)
    running.stop(people[0].name)
    assert running.listed() == []
    kernel.notebook.service.start(people[0].name)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_hangs_is_the_one_that_status_calls_silent(running: Service, part: str) -> None:
    frozen = Process.of(running.part(part))
    assert frozen and frozen.signal(signal.SIGSTOP)
    try:
        found = json.loads(running.cli("status", "--json", check=False).stdout)["parts"]
        assert {one["name"]: one["health"] for one in found if one["health"] != "well"} == {part: "silent"}
    finally:
        frozen.signal(signal.SIGCONT)


def test_parts_that_hang_are_started_anew(running: Service, kernel: Kernel, people: list[Account]) -> None:
    """All at once, since it takes a minute or two until they count as silent; the notebook does not notice."""
    pid = kernel.notebook.pid
    frozen = {part: Process.of(running.part(part)) for part in PARTS}
    for process in frozen.values():
        assert process and process.signal(signal.SIGSTOP)
    for process in frozen.values():
        assert process and process.wait(180)
    wait_until(lambda: all(running.part(part) for part in PARTS) and running.answers(), 60)
    assert running.output().count("runs but has gone silent") == len(PARTS)
    wait_until(lambda: [one["pid"] for one in running.listed()] == [pid])
    wait_until(lambda: running.server(people[0].name).get("ready"), 30)
    assert Kernel(kernel.notebook, kernel.id).run("kept") == "'here'"


def test_a_server_that_ends_by_itself_is_noticed(running: Service, kernel: Kernel, people: list[Account]) -> None:
    """The hub drops it and its route, and it can be started again."""
    os.kill(kernel.notebook.pid, signal.SIGKILL)
    wait_until(lambda: not running.server(people[0].name), 30)
    assert not list((running.run / "routes").rglob(f"*{people[0].name}*/**/*:*"))
    assert running.start(people[0].name).kernel().run("1") == "1"


def test_its_end_is_noticed_also_after_the_fork_server_was_started_again(
    running: Service, kernel: Kernel, people: list[Account]
) -> None:
    replaced(running, "fork-server", signal.SIGKILL)
    os.kill(kernel.notebook.pid, signal.SIGKILL)
    wait_until(lambda: not running.server(people[0].name), 20)
    running.start(people[0].name)


def test_the_hub_starts_without_fork_server_while_a_server_is_frozen(
    running: Service, kernel: Kernel, people: list[Account]
) -> None:
    """Neither is taken for stopped: both notebooks are there when the one is back and the other awake.

    For eight seconds there is no fork server to connect to, and then one that says nothing.
    """
    second = running.start(people[1].name).kernel()
    second.run("kept = 'too'")
    frozen = Process.of(kernel.notebook.pid)
    fork = Process.of(running.part("fork-server"))
    assert frozen and fork
    frozen.signal(signal.SIGSTOP)
    fork.signal(signal.SIGSTOP)
    old = running.part("hub")
    os.kill(old, signal.SIGKILL)
    with away(running.site.fork_socket), away(running.site.start_socket):
        wait_until(lambda: running.part("hub") not in (0, old))
        time.sleep(8)
    time.sleep(32)
    fork.signal(signal.SIGCONT)
    frozen.signal(signal.SIGCONT)
    wait_until(running.answers, 60)
    wait_until(lambda: running.server(people[0].name).get("ready"), 60)
    assert kernel.run("kept") == "'here'"
    assert second.run("kept") == "'too'"
    running.stop(people[1].name)


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Have nothing where a file is."""
    kept = path.rename(f"{path}.away")
    try:
        yield
    finally:
        kept.rename(path)


def test_a_notebook_is_saved_during_a_hub_restart(running: Service, kernel: Kernel, people: list[Account]) -> None:
    """Its server has to ask the hub who saves, waits for it at Caddy, and the save succeeds.

    The user's token was never seen by this server, so no answer is cached.
    """
    token = running.cli("token", people[0].name).stdout.strip()
    model = {
        "type": "notebook",
        "format": "json",
        "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
    }
    hub = Process.of(running.part("hub"))
    assert hub
    answers: list[httpx.Response] = []
    hub.signal(signal.SIGKILL)
    saver = threading.Thread(
        target=lambda: answers.append(kernel.notebook.ask("PUT", "api/contents/saved.ipynb", model, token=token))
    )
    saver.start()
    saver.join(60)
    assert answers and answers[0].status_code in (200, 201), answers and answers[0].text
    assert (people[0].home / "saved.ipynb").exists()


@contextmanager
def in_mid_spawn(running: Service, name: str) -> Iterator[Process]:
    """Ask for a server and freeze its process as soon as there is one; at the end it thaws, and the start settles."""
    if running.server(name):
        running.stop(name)
    running.add_user(name)
    record = running.site.servers / server_key(name, "") / "server.json"
    with ask_for(running, "POST", name):
        child = None
        deadline = time.monotonic() + 30
        while child is None:
            assert time.monotonic() < deadline
            with suppress(FileNotFoundError):
                child = Process.of(json.loads(record.read_bytes())["pid"])
        assert child.signal(signal.SIGSTOP)
        assert running.server(name)["pending"] == "spawn"
        yield child
        child.signal(signal.SIGCONT)
    wait_until(lambda: not running.server(name).get("pending"), 60)


@contextmanager
def in_mid_stop(running: Service, name: str) -> Iterator[Process]:
    """Stop a server that is frozen, which takes until its grace is over; at the end it thaws, and the stop settles."""
    running.start(name).kernel()
    child = Process.of(Notebook(running, name, "").pid)
    assert child and child.signal(signal.SIGSTOP)
    with ask_for(running, "DELETE", name):
        wait_until(lambda: running.server(name).get("pending") == "stop")
        yield child
        child.signal(signal.SIGCONT)
    # also by a hub that was started meanwhile, and looked while the server was ending
    wait_until(lambda: not running.server(name).get("pending"), 45)


@contextmanager
def ask_for(running: Service, method: str, name: str) -> Iterator[None]:
    """Send a request that may fail, since the hub or Caddy is killed meanwhile."""

    def ask() -> None:
        with suppress(httpx.HTTPError):
            running.api(method, f"/users/{name}/server", {})

    asked = threading.Thread(target=ask)
    asked.start()
    yield
    asked.join(90)
    assert not asked.is_alive()


def agent_of(server: Process) -> Process | None:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return next((Process.of(int(pid)) for pid, title in titles.items() if title.startswith(b"kernel-agent")), None)


def works_and_leaves_nothing(running: Service, name: str) -> None:
    """A server, whether it is there or has to be started, runs a cell, stops, and is gone."""
    notebook = Notebook(running, name, "") if running.server(name).get("ready") else running.start(name)
    assert notebook.kernel().run("2 + 2") == "4"
    running.stop(name)
    assert [one for one in running.listed() if one["user"] == name] == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed_in_mid_spawn(running: Service, people: list[Account], part: str) -> None:
    """Afterwards the user either has a server or can start one; nothing is left hanging."""
    with in_mid_spawn(running, people[1].name):
        replaced(running, part, signal.SIGKILL)
    works_and_leaves_nothing(running, people[1].name)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed_in_mid_stop(running: Service, people: list[Account], part: str) -> None:
    """The server is gone in the end, and starts again."""
    name = people[1].name
    with in_mid_stop(running, name) as server:
        replaced(running, part, signal.SIGKILL, lambda: server.signal(signal.SIGCONT))
    if running.server(name):  # the hub that was killed has forgotten that it was to stop it
        running.stop(name)
    assert server.wait(20)
    works_and_leaves_nothing(running, name)


def test_a_server_is_killed_in_mid_spawn(running: Service, people: list[Account]) -> None:
    """The hub learns of it at once, and another can be started."""
    with in_mid_spawn(running, people[1].name) as server:
        began = time.monotonic()
        server.signal(signal.SIGKILL)
        wait_until(lambda: not running.server(people[1].name).get("pending"), 20)
    assert time.monotonic() - began < 20
    assert not running.server(people[1].name).get("ready")
    works_and_leaves_nothing(running, people[1].name)


def test_a_server_is_killed_in_mid_stop(running: Service, people: list[Account]) -> None:
    with in_mid_stop(running, people[1].name) as server:
        server.signal(signal.SIGKILL)
    assert not running.server(people[1].name)
    works_and_leaves_nothing(running, people[1].name)


def test_an_agent_is_killed_in_mid_spawn(running: Service, people: list[Account]) -> None:
    """Kernels are then executed; the server comes up all the same."""
    name = people[1].name
    with in_mid_spawn(running, name) as server:
        server.signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        while (agent := agent_of(server)) is None:
            assert time.monotonic() < deadline
        assert agent.signal(signal.SIGKILL)
    assert running.server(name)["ready"]
    works_and_leaves_nothing(running, name)


def test_an_agent_is_killed_in_mid_stop(running: Service, people: list[Account]) -> None:
    with in_mid_stop(running, people[1].name) as server:
        agent = agent_of(server)
        assert agent and agent.signal(signal.SIGKILL)
    assert server.wait(20)
    works_and_leaves_nothing(running, people[1].name)


def test_an_agent_that_is_killed_leaves_its_kernels(running: Service, kernel: Kernel) -> None:
    """They keep their state and are interrupted and restarted as before; the next one is executed."""
    notebook = kernel.notebook
    server = Process.of(notebook.pid)
    agent = server and agent_of(server)
    old = Process.of(int(kernel.run("import os; print(os.getpid())")))
    assert old and agent and agent.signal(signal.SIGKILL)
    assert agent.wait(20)
    assert kernel.run("kept") == "'here'"
    number = kernel.send("import time\nprint('sleeps', flush=True)\ntime.sleep(60)")
    said = kernel.until_idle(number)
    assert next(one for one in said if one["msg_type"] == "stream")["content"]["text"] == "sleeps\n"
    assert notebook.ask("POST", f"api/kernels/{kernel.id}/interrupt").status_code == 204
    assert [one["content"]["ename"] for one in said if one["msg_type"] == "error"] == ["KeyboardInterrupt"]
    other = int(notebook.kernel().run("import os; print(os.getpid())"))
    assert b"ipykernel_launcher" in Path(f"/proc/{other}/cmdline").read_bytes()
    assert notebook.ask("POST", f"api/kernels/{kernel.id}/restart").status_code == 200
    assert old.wait(20)
    assert Kernel(notebook, kernel.id).run("6 * 7") == "42"


def test_the_account_helper_is_killed_while_it_checks_a_password(running: Service, people: list[Account]) -> None:
    """The person is told to try again, and then it works."""

    def log_in(password: str) -> httpx.Response:
        with httpx.Client(base_url=running.url, timeout=60, **PLAIN) as browser:
            page = browser.get("/hub/login").text
            xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page)
            assert xsrf
            form = {"username": people[1].name, "password": password, "_xsrf": xsrf[1]}
            return browser.post("/hub/login", data=form)

    helper = Process.of(running.part("account-helper"))
    assert helper
    children = Path(f"/proc/{helper.pid}/task/{helper.pid}/children")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(log_in, "wrong")  # takes two seconds
        wait_until(children.read_text)
        helper.signal(signal.SIGKILL)
        assert first.result(60).status_code in (403, 503)
    wait_until(lambda: running.part("account-helper") not in (0, helper.pid), 30)
    wait_until(lambda: log_in(people[1].password).status_code == 302, 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_up_ends_in_mid_spawn(running: Service, people: list[Account], number: int) -> None:
    """SIGTERM also ends what was just starting; after SIGKILL the start goes on, under the next `up`."""
    name = people[1].name
    with in_mid_spawn(running, name) as server:
        up_again(running, number, server)
    works_and_leaves_nothing(running, name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_up_ends_in_mid_stop(running: Service, people: list[Account], number: int) -> None:
    name = people[1].name
    with in_mid_stop(running, name) as server:
        up_again(running, number, server)
    assert server.wait(20)
    works_and_leaves_nothing(running, name)


def up_again(running: Service, number: int, server: Process) -> None:
    """End `up`, see that a frozen server has ended with it or has not, and start `up` again."""
    running.down(number)
    assert server.alive() == (number == signal.SIGKILL)
    running.up()


def test_up_is_killed_and_a_second_adopts(running: Service, kernel: Kernel, people: list[Account]) -> None:
    """SIGKILL for the supervisor: parts and notebooks run on, the next `up` takes them over."""
    before = {part: running.part(part) for part in PARTS}
    assert running.process
    running.process.kill()
    running.process.wait(10)
    assert kernel.run("kept") == "'here'"
    running.up()
    wait_until(lambda: "adopted" in running.output(), 30)
    assert {part: running.part(part) for part in before} == before
    assert kernel.run("kept") == "'here'"


def test_a_second_up_explains(running: Service) -> None:
    done = running.cli("up", check=False)
    assert done.returncode != 0
    assert "runs already" in done.stderr or "already" in done.stderr
    assert "Traceback" not in done.stderr


def test_keep_leaves_the_notebooks(running: Service, kernel: Kernel, people: list[Account]) -> None:
    """`up --keep`, stopped and started again: the kernel still has its variable."""
    running.down()
    running.up("--keep")
    kernel = running.start(people[0].name).kernel()
    kernel.run("kept = 'again'")
    pid = kernel.notebook.pid
    assert running.down() == 0
    assert Process.of(pid)
    running.up()
    wait_until(lambda: running.server(people[0].name).get("ready"), 30)
    assert Kernel(kernel.notebook, kernel.id).run("kept") == "'again'"


def test_stopping_ends_everything(running: Service, people: list[Account]) -> None:
    if not running.server(people[0].name):
        running.start(people[0].name)
    pid = running.listed()[0]["pid"]
    parts = [running.part(part) for part in PARTS]
    assert running.down(signal.SIGINT) == 0
    assert not any(Process.of(one) for one in (pid, *parts))
