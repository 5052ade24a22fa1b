"""A group's own server: who of real people gets in, what they write together, and that it ends with membership."""

from __future__ import annotations

import grp
import os
import pwd
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import websocket
from tests.collaborating import Group, group_of
from tests.conftest import Account, wait_until
from tests.integration.people.test_apply import as_user
from tests.running import PLAIN, Kernel, Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def people(module_account: Callable[..., Account]) -> list[Account]:
    return [module_account() for _ in range(3)]


@pytest.fixture(scope="module")
def group(service: Callable[..., Service], people: list[Account]) -> Iterator[Group]:
    """Ada and Bob are in it, Eve is not; the service runs."""
    with group_of(service, people) as made:
        made.consist_of(*people[:2])
        file = made.service.folder / "hub.yaml"
        file.write_text(made.service.yaml)
        told = " ".join(made.service.cli("check", check=False).stdout.split())
        assert f"has no account {made.team} yet" in told, told
        made.service.up()
        done = made.apply()
        assert ("account", made.team) in [(step["what"], step["name"]) for step in done["steps"]]
        assert made.apply()["steps"] == []
        yield made


@pytest.fixture
def notebook(group: Group) -> Notebook:
    return group.with_notebook()


def test_its_account_is_nobodys(group: Group, people: list[Account]) -> None:
    account = pwd.getpwnam(group.team)
    assert account.pw_shell.endswith("nologin") and account.pw_uid >= 1000
    assert os.getgrouplist(group.team, account.pw_gid) == [grp.getgrnam(group.name).gr_gid]
    assert as_user(people[0].name, f"ls /home/{group.team}", check=False).returncode != 0
    hub = group.service
    assert group.team not in hub.api("GET", f"/groups/{group.name}").json()["users"]


def test_two_write_in_one_notebook_and_it_is_saved_for_the_group(
    group: Group, notebook: Notebook, people: list[Account]
) -> None:
    hub, (ada, bob, _) = group.service, people
    group.write_together(notebook)
    for one in (ada, bob):
        me = notebook.ask("GET", "api/me", token=hub.token(one.name)).json()["identity"]
        assert (me["username"], me["name"]) == (one.name, one.name)


def test_kernels_are_forked_and_see_the_folder_but_nobodys_home(
    group: Group, notebook: Notebook, people: list[Account]
) -> None:
    hub, (ada, bob, _) = group.service, people
    answer = notebook.ask(
        "POST", "api/sessions", {"path": "n.ipynb", "name": "n", "type": "notebook"}, token=hub.token(ada.name)
    )
    assert answer.status_code == 201, answer.text
    from tests.running import Kernel

    class Of(Kernel):
        def __init__(self, token: str) -> None:
            self.notebook, self.id = notebook, answer.json()["kernel"]["id"]
            self.ws = notebook.socket(f"api/kernels/{self.id}/channels", token=token)

    first, second = Of(hub.token(ada.name)), Of(hub.token(bob.name))
    assert first.run("import getpass, os; getpass.getuser()") == repr(group.team)
    assert second.run("os.getcwd()") == repr(str(group.folder))
    assert "kernel " in first.run("open('/proc/self/cmdline').read()")
    assert "PermissionError" in first.run(f"os.listdir({str(ada.home)!r})")
    assert first.run("import sys; [one for one in sys.path if 'collaboration' in one]") == "[]"
    first.run("open('made', 'w').write('x')")
    as_user(bob.name, f"echo y >> {group.folder}/made")
    assert (group.folder / "made").read_text() == "xy\n"
    assert f"user.{pwd.getpwnam(group.team).pw_uid}" in first.run("print(open('/proc/self/cgroup').read())")


def test_who_is_not_in_the_group_gets_nothing(group: Group, notebook: Notebook, people: list[Account]) -> None:
    hub, eve = group.service, people[2]
    token = hub.token(eve.name)
    for path in ("api/contents", "lab", "api/me", "api/collaboration/timeline/n.ipynb"):
        assert notebook.ask("GET", path, token=token).status_code == 403, path
    body = {"format": "json", "type": "notebook"}
    assert notebook.ask("PUT", "api/collaboration/session/n.ipynb", body, token=token).status_code == 403
    for path in ("api/events/subscribe", "api/collaboration/room/json:notebook:1"):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            notebook.socket(path, token=token)
    headers = {"Authorization": f"token {token}"}
    for method in ("POST", "DELETE"):
        assert hub.api(method, f"/users/{group.team}/server", headers=headers).status_code in (403, 404)


def test_who_is_in_it_gets_no_more_than_this_server(group: Group, notebook: Notebook, people: list[Account]) -> None:
    hub, (ada, bob, _) = group.service, people
    theirs = hub.start(ada.name)
    headers = {"Authorization": f"token {hub.token(bob.name)}"}
    assert theirs.ask("GET", "api/contents", token=hub.token(bob.name)).status_code == 403
    assert hub.api("POST", f"/users/{group.team}/servers/second", {}, headers=headers).status_code in (400, 403, 404)
    for method, path in (("POST", f"/users/{group.team}/tokens"), ("DELETE", f"/users/{group.team}")):
        assert hub.api(method, path, {}, headers=headers).status_code in (403, 404), path
    assert theirs.ask("PUT", "api/collaboration/session/n.ipynb", {}).status_code == 404
    assert "collaboration-extension" not in theirs.ask("GET", "lab").text
    assert "collaboration-extension" in notebook.ask("GET", "lab", token=hub.token(bob.name)).text


def test_its_own_token_lets_nobody_in(group: Group, notebook: Notebook, people: list[Account]) -> None:
    """Everybody of the group can read it, and could keep it."""
    hub, ada = group.service, people[0]
    made = notebook.ask("POST", "api/kernels", {"name": "python3"}, token=hub.token(ada.name)).json()["id"]
    kernel = Kernel(notebook, made, hub.token(ada.name))
    token = kernel.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'], end='')")
    assert len(token) > 20
    assert notebook.ask("GET", "api/contents", token=token).status_code == 403
    headers = {"Authorization": f"token {token}"}
    assert hub.api("DELETE", f"/users/{group.team}/server", headers=headers).status_code in (403, 404)
    body = {"last_activity": datetime.now(UTC).isoformat()}
    assert hub.api("POST", f"/users/{group.team}/activity", body, headers=headers).status_code == 200


def test_nobody_logs_in_as_the_group(group: Group) -> None:
    import httpx

    with httpx.Client(base_url=group.service.url, follow_redirects=True, **PLAIN) as client:
        client.get("/hub/login")
        form = {"username": group.team, "password": "", "_xsrf": client.cookies["_xsrf"]}
        for password in ("", "x", "!"):
            answer = client.post("/hub/login", data={**form, "password": password})
            assert answer.status_code in (400, 403), answer.text


def test_who_leaves_the_group_is_out_at_once(group: Group, notebook: Notebook) -> None:
    group.see_bob_leave(notebook)


def test_it_goes_on_while_the_hub_restarts_and_ends_when_hub_yaml_names_it_no_more(
    group: Group, notebook: Notebook, people: list[Account]
) -> None:
    hub, ada = group.service, people[0]
    pid = notebook.pid
    before = hub.part("hub")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: hub.part("hub") not in (0, before) and hub.answers(), 90)
    wait_until(lambda: hub.server(group.team, "").get("ready"), 30)
    assert notebook.pid == pid
    assert notebook.ask("GET", "api/contents", token=hub.token(ada.name)).status_code == 200
    hub.down()
    hub.yaml = hub.yaml.replace(", collaboration: true", "")
    hub.up()
    wait_until(lambda: all(one["user"] != group.team for one in hub.listed()), 20)
    headers = {"Authorization": f"token {hub.token(ada.name)}"}
    assert hub.api("POST", f"/users/{group.team}/server", {}, headers=headers).status_code in (403, 404)
