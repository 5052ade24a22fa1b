"""Starting, stopping, naming and refusing servers, as users and the API do it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from tests.conftest import Account, wait_until
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

YAML = """\
hub: {listen: "127.0.0.1:{port}", landing: home}
auth: {kind: pam, allow: all}
engine: {kind: local, servers: 3}
idle: {stop_after: 8s, check_every: 2s}
"""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    return service(YAML.replace("idle: {stop_after: 8s, check_every: 2s}\n", "")).up()


def test_named_servers_run_side_by_side_up_to_the_limit(running: Service, account: Callable[..., Account]) -> None:
    name = account().name
    first, second = running.start(name), running.start(name, "second")
    assert first.kernel().run("import os; print(os.environ['JUPYTERHUB_SERVER_NAME'])").strip() == ""
    assert second.kernel().run("import os; print(os.environ['JUPYTERHUB_SERVER_NAME'])").strip() == "second"
    assert running.start(name, "third").kernel().run("1") == "1"
    refused = running.api("POST", f"/users/{name}/servers/fourth", {})
    assert refused.status_code == 400 and "2" in refused.json()["message"]
    running.stop(name, "second")
    assert [one["server"] for one in running.listed() if one["user"] == name] in (["", "third"], ["third", ""])
    assert first.ask("GET", "api").status_code == 200


@pytest.mark.parametrize("server", ["with space", "ünïcode", "a.b", "x" * 100, "%41", "..a", "%2e%2e", "a%2fb"])
def test_a_strange_name_of_a_server_is_refused(running: Service, account: Callable[..., Account], server: str) -> None:
    """JupyterHub 6 takes names that are safe everywhere; nothing starts for another."""
    name = account().name
    running.add_user(name)
    answer = running.api("POST", f"/users/{name}/servers/{quote(server, safe='')}", {})
    assert answer.status_code in (400, 404), answer.text
    assert [one for one in running.listed() if one["user"] == name] == []


def test_two_requests_at_once_give_one_server(running: Service, account: Callable[..., Account]) -> None:
    name = account().name
    running.add_user(name)
    codes: list[int] = []
    callers = [
        threading.Thread(target=lambda: codes.append(running.api("POST", f"/users/{name}/server", {}).status_code))
        for _ in range(6)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert sorted(codes)[0] in (201, 202)
    assert all(code in (201, 202, 400) for code in codes), codes
    wait_until(lambda: running.server(name).get("ready"))
    assert len([one for one in running.listed() if one["user"] == name]) == 1


def test_two_users_race_and_both_get_their_own(running: Service, account: Callable[..., Account]) -> None:
    people = [account() for _ in range(4)]
    got: dict[str, str] = {}

    def go(person: Account) -> None:
        got[person.name] = running.start(person.name).kernel().run("import getpass; print(getpass.getuser())").strip()

    threads = [threading.Thread(target=go, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert got == {person.name: person.name for person in people}


def refusal(running: Service, name: str) -> str:
    """Return what a start that fails says, to the user's page."""
    running.add_user(name)
    answer = running.api("POST", f"/users/{name}/server", {})
    wait_until(lambda: not running.server(name).get("pending"), 30)
    assert not running.server(name).get("ready")
    return str(answer.text)


def test_a_missing_home_is_named(running: Service, account: Callable[..., Account]) -> None:
    person = account()
    shutil.rmtree(person.home)
    assert f"home folder {person.home} cannot be used: No such file" in refusal(running, person.name)


def test_a_home_that_its_owner_may_not_enter_is_named(running: Service, account: Callable[..., Account]) -> None:
    """Root looks at it before, and may."""
    person = account()
    person.home.chmod(0)
    said = refusal(running, person.name)
    assert f"{person.name} cannot enter the home folder {person.home}: Permission denied" in said
    person.home.chmod(0o700)
    assert running.start(person.name).kernel().run("1 + 1") == "2"


def test_a_home_of_somebody_else_is_named(running: Service, account: Callable[..., Account]) -> None:
    person, other = account(), account()
    os.chown(person.home, other.uid, other.gid)
    assert f"home folder {person.home} belongs to user id {other.uid}" in refusal(running, person.name)


def test_no_account_is_named(running: Service) -> None:
    assert "no account 'hwt-nobody'" in refusal(running, "hwt-nobody")


def test_a_user_without_permission_is_refused_by_the_fork_server(
    running: Service, account: Callable[..., Account]
) -> None:
    """A sudoer's server would be root's for whoever takes over his browser."""
    assert "sudo" in refusal(running, account(groups=["sudo"]).name)


def test_a_broken_server_says_so_at_once(service: Callable[..., Service], account: Callable[..., Account]) -> None:
    """Settings that cannot be used end a server in seconds, with the end of its log.

    They are everybody's here: without a person's own it is started once more (`test_broken_homes`).
    """
    running = service(YAML + "extra: {ForkSpawner: {args: ['--ServerApp.port=here']}}\n").up()
    began = time.monotonic()
    said = refusal(running, account().name)
    assert "The server ended while it started. Its log ends:" in said
    assert "expected an int, not the str 'here'" in said
    assert time.monotonic() - began < 15


def test_an_idle_server_is_stopped_and_a_computing_one_is_not(
    service: Callable[..., Service], account: Callable[..., Account]
) -> None:
    """A cell that computes in silence, longer than the time-out, outlives it; its idle neighbour does not.

    It outlives a service that is away for longer than that, too: nobody could tell the hub of it.
    """
    running = service(YAML).up("--keep")
    idle, busy = account().name, account().name
    running.start(idle)
    kernel = running.start(busy).kernel()
    kernel.send("import time\nend = time.time() + 60\nwhile time.time() < end: sum(range(10000))\ndone = 'yes'")
    kernel.ws.close()
    wait_until(lambda: not running.server(idle), 40)
    running.down()
    time.sleep(10)
    running.up("--keep")
    wait_until(lambda: running.server(busy).get("ready"), 20)
    time.sleep(8)
    assert running.server(busy).get("ready")
    wait_until(lambda: not running.server(busy), 60)


def test_stopping_takes_kernels_and_terminals_along(running: Service, account: Callable[..., Account]) -> None:
    person = account()
    notebook: Notebook = running.start(person.name)
    notebook.kernel()
    notebook.terminal()
    began = time.monotonic()
    running.stop(person.name)
    assert time.monotonic() - began < 5
    assert not [entry for entry in os.scandir("/proc") if entry.name.isdigit() and entry.stat().st_uid == person.uid]
