"""Teachers by JupyterHub's own means: roles and scopes, for all programs that speak its API; and starts that are cut off."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.running import PLAIN, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

YAML = """\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local, memory: 1G}}
classes:
  lecture:
    users: [{lecture}]
    timetable: ["mon-sun 00:00-23:59"]
    time_zone: UTC
    at_once: 1
  biology:
    title: Biology 101
    users: [{ada}]
    groups: [{group}]
    teachers: [{teacher}, {late}]
  physics: {{users: [{eve}], teachers: [{other}]}}
"""
SCOPE = "custom:hubwright:classes!group="


@dataclass
class School:
    """A service with three classes; bob is in biology by his Unix group."""

    hub: Service
    lecture: list[str]
    teacher: str
    other: str
    late: str
    ada: str
    bob: str
    eve: str

    def ask(self, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.hub.api(method, path, body, headers={"Authorization": f"token {token}"})

    def limited(self, user: str, *scopes: str) -> str:
        """A token of somebody that may do only so much, as he makes it himself."""
        made = self.ask(self.hub.token(user), "POST", f"/users/{user}/tokens", {"scopes": scopes})
        assert made.status_code == 201, made.text
        return str(made.json()["token"])

    def runs(self, user: str) -> bool:
        return bool(self.hub.server(user).get("ready"))


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    name = f"hwt-{secrets.token_hex(4)}"
    subprocess.run(["groupadd", name], check=True)
    yield name
    subprocess.run(["groupdel", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def school(service: Callable[..., Service], module_account: Callable[..., Account], group: str) -> School:
    teacher, other, late, ada, eve = (module_account().name for _ in range(5))
    bob = module_account(groups=[group]).name
    lecture = [module_account().name for _ in range(6)]
    words = {"teacher": teacher, "other": other, "late": late, "ada": ada, "eve": eve, "group": group}
    hub = service(YAML.format(lecture=", ".join(lecture), **words)).up()
    for name in (teacher, other, ada, bob, eve):
        hub.add_user(name)
    return School(hub, lecture, teacher, other, late, ada, bob, eve)


def test_a_class_start_goes_on_after_the_hub_was_killed_in_the_middle(school: School) -> None:
    """Who had a server keeps it, everybody else gets one, by the hub that comes after."""
    hub, names = school.hub, school.lecture
    wait_until(lambda: any(map(school.runs, names)), 60)
    os.kill(hub.part("hub"), signal.SIGKILL)
    wait_until(hub.answers, 60)
    for name in names:
        hub.add_user(name)
        hub.settle(name, "")
    before = {name: hub.server(name)["started"] for name in names if school.runs(name)}
    assert len(before) >= 1
    wait_until(lambda: all(map(school.runs, names)), 120)
    assert {name: hub.server(name)["started"] for name in before} == before


def test_a_teachers_token_starts_the_servers_of_his_class_only(school: School) -> None:
    """By JupyterHub's own API, which a script of his may use; and it opens nobody's notebook, nor anything of admins."""
    token, hub = school.hub.token(school.teacher), school.hub
    wait_until(lambda: school.ask(token, "GET", f"/users/{school.bob}").status_code == 200)
    assert {one["name"] for one in school.ask(token, "GET", "/users").json()} == {school.ada, school.bob}
    for name in (school.ada, school.bob):
        assert school.ask(token, "POST", f"/users/{name}/server").status_code in (201, 202)
        wait_until(lambda name=name: school.runs(name), 60)
        assert school.ask(token, "GET", f"/users/{name}").json()["servers"][""]["ready"]
    for method, path in (("POST", "server"), ("DELETE", "server"), ("GET", "")):
        answer = school.ask(token, method, f"/users/{school.eve}/{path}".rstrip("/"))
        assert answer.status_code in (403, 404), f"{method} {path}"
    assert not school.runs(school.eve)
    headers = {"Authorization": f"token {token}"}
    assert (
        httpx.get(f"{hub.url}/user/{school.ada}/api/contents", headers=headers, timeout=30, **PLAIN).status_code == 403
    )
    for method, path in (
        ("POST", f"/users/{school.ada}/tokens"),
        ("GET", f"/users/{school.ada}/tokens"),
        ("DELETE", f"/users/{school.ada}"),
        ("PATCH", f"/users/{school.ada}"),
        ("POST", "/users/hwt-new"),
        ("GET", "/groups"),
        ("GET", "/proxy"),
    ):
        assert school.ask(token, method, path, {} if method != "GET" else None).status_code in (403, 404), path
    assert school.ask(token, "DELETE", f"/users/{school.ada}/server").status_code in (202, 204)
    wait_until(lambda: hub.server(school.ada) == {})
    assert school.ask(hub.token(school.ada), "POST", f"/users/{school.bob}/server").status_code in (403, 404)


def test_a_teacher_makes_tokens_that_may_do_less_and_none_that_may_do_more(school: School) -> None:
    looks = school.limited(school.teacher, f"{SCOPE}biology")
    path = "/hubwright/classes/biology"
    assert school.ask(looks, "GET", path).json()["title"] == "Biology 101"
    assert school.ask(looks, "POST", f"{path}/messages", {"text": "Hello", "minutes": 5}).status_code == 201
    for what in ("start", "stop"):
        refused = school.ask(looks, "POST", f"{path}/{what}", {"users": [school.ada]})
        assert refused.status_code == 403 and ":servers for each of them" in refused.json()["message"]
    starts = school.limited(school.teacher, f"{SCOPE}biology", f"start:servers!user={school.ada}")
    assert school.ask(starts, "POST", f"{path}/start", {"users": [school.ada, school.bob]}).status_code == 403
    assert school.ask(starts, "POST", f"{path}/start", {"users": [school.ada]}).status_code == 202
    wait_until(lambda: school.runs(school.ada), 60)
    assert school.ask(starts, "POST", f"{path}/stop", {"users": [school.ada]}).status_code == 403
    only = school.limited(school.teacher, f"servers!user={school.bob}")
    assert school.ask(only, "GET", path).status_code == 403
    assert school.ask(only, "DELETE", f"/users/{school.ada}/server").status_code in (403, 404)
    for scope in (f"{SCOPE}physics", f"servers!user={school.eve}", "custom:hubwright:classes", "servers"):
        asked = {"scopes": [scope]}
        made = school.ask(school.hub.token(school.teacher), "POST", f"/users/{school.teacher}/tokens", asked)
        assert made.status_code == 400, scope


def test_who_comes_for_the_first_time_teaches_at_once_and_an_admin_sees_it(school: School) -> None:
    school.hub.add_user(school.late)
    token = school.hub.token(school.late)
    assert school.ask(token, "GET", "/hubwright/classes/biology").status_code == 200
    assert school.ask(token, "GET", "/hubwright/classes/physics").status_code == 403
    roles = {name: school.hub.api("GET", f"/users/{name}").json()["roles"] for name in (school.late, school.other)}
    assert set(roles[school.late]) == {"user", "class-biology-teachers"}
    assert set(roles[school.other]) == {"user", "class-physics-teachers"}


def test_who_is_taken_out_of_hub_yaml_teaches_no_more(school: School) -> None:
    """Also by the tokens that he has, and where the class itself is gone."""
    hub = school.hub
    old = school.limited(school.other, f"{SCOPE}physics", f"servers!user={school.eve}")
    hub.down()
    first, _, _ = hub.yaml.partition("  physics:")
    hub.yaml = first.replace(f"[{school.teacher}, {school.late}]", f"[{school.late}]")
    hub.up()
    assert school.ask(hub.token(school.teacher), "GET", "/hubwright/classes/biology").status_code == 403
    assert school.ask(hub.token(school.teacher), "POST", f"/users/{school.ada}/server").status_code in (403, 404)
    assert school.ask(hub.token(school.late), "GET", "/hubwright/classes/biology").status_code == 200
    assert school.ask(old, "GET", "/hubwright/classes/physics").status_code == 403
    assert school.ask(old, "GET", "/user").json()["name"] == school.other, "such a token is still understood"
    assert hub.api("GET", f"/users/{school.other}").json()["roles"] == ["user"]
