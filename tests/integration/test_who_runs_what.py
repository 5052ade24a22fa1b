"""Which kernels run in a class's servers: its teacher is told, nobody else, and no student's server learns a thing by it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.running import PLAIN, Kernel, Notebook, Service, frozen
from tests.slowness import SLOWNESS

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

YAML = """\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: all}}
environments:
  stats: {{kind: existing, prefix: {prefix}, display: Statistics (course)}}
profiles:
  sizes:
    Small: {{cpu: 1, memory: 700M}}
    Large: {{cpu: 2, memory: 1500M}}
  default: {{sizes: [Small, Large]}}
classes:
  biology: {{title: Biology 101, users: [{ada}, {bob}, {eve}], teachers: [{teacher}]}}
  physics: {{users: [{other}], teachers: [{other}]}}
"""
LISTENS = """\
import os, tornado.web

def listen(self, application, request, _was=tornado.web.RequestHandler.__init__, **more):
    if "no_track_activity" in request.uri:
        with open(os.path.expanduser("~/heard"), "a") as file:
            print(request.headers.get("Authorization", ""), file=file)
    _was(self, application, request, **more)

tornado.web.RequestHandler.__init__ = listen
"""
"""What a student can have his own server do: write down what he is shown."""
LOOKS = 9.0
"""Seconds after which a server is asked again, when somebody looks."""


@dataclass
class School:
    """A service with two classes; ada's server writes down how it is asked."""

    hub: Service
    teacher: str
    other: str
    ada: Account
    bob: str
    eve: str

    def ask(self, who: str, path: str = "classes/biology") -> httpx.Response:
        headers = {"Authorization": f"token {self.hub.token(who)}"}
        return self.hub.api("GET", f"/hubwright/{path}", headers=headers)

    def server(self, name: str) -> dict[str, Any]:
        """What the teacher is told now of the only server of somebody."""
        people = {one["name"]: one for one in self.ask(self.teacher).json()["people"]}
        (server,) = people[name]["servers"]
        return dict(server)

    def kernels(self, name: str) -> list[tuple[str, str]] | None:
        told = self.server(name)["kernels"]
        return None if told is None else sorted((one["name"], one["state"]) for one in told)

    def heard(self) -> list[str]:
        file = self.ada.home / "heard"
        return [line.split()[-1] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def school(service: Callable[..., Service], module_account: Callable[..., Account]) -> School:
    ada = module_account()
    teacher, other, bob, eve = (module_account().name for _ in range(4))
    (ada.home / ".jupyter").mkdir()
    config = ada.home / ".jupyter" / "jupyter_server_config.py"
    config.write_text(LISTENS)
    for path in (config, config.parent):
        os.chown(path, ada.uid, ada.gid)
    words = {"prefix": sys.prefix, "ada": ada.name, "bob": bob, "eve": eve, "teacher": teacher, "other": other}
    hub = service(YAML.format(**words)).up(wait=120)
    for name in (teacher, other):
        hub.add_user(name)
    return School(hub, teacher, other, ada, bob, eve)


@pytest.fixture(scope="module")
def ada(school: School) -> Notebook:
    return school.hub.start(school.ada.name, body={"size": "Large"})


@pytest.fixture(scope="module")
def bob(school: School) -> Notebook:
    return school.hub.start(school.bob)


def test_a_teacher_is_told_which_kernels_run_which_are_busy_and_what_was_chosen(
    school: School, ada: Notebook, bob: Notebook
) -> None:
    """By the names that people read in JupyterLab, of forked and executed kernels; not by the names of notebooks."""
    assert school.kernels(bob.user) == []
    session = {
        "path": "secret-diary.ipynb",
        "name": "secret-diary.ipynb",
        "type": "notebook",
        "kernel": {"name": "stats"},
    }
    made = ada.ask("POST", "api/sessions", session)
    assert made.status_code == 201, made.text
    assert Kernel(ada, made.json()["kernel"]["id"]).run("6 * 7") == "42"
    busy = ada.kernel()
    busy.send("import time\nwhile True: time.sleep(0.1)")
    wanted = [("Python 3", "busy"), ("Statistics (course)", "idle")]
    wait_until(lambda: school.kernels(ada.user) == wanted, 60)
    assert [(school.server(one)["size"], school.server(one)["image"]) for one in (ada.user, bob.user)] == [
        ("Large", ""),
        ("Small", ""),
    ]
    assert "secret-diary" not in school.ask(school.teacher).text
    ada.ask("POST", f"api/kernels/{busy.id}/interrupt")
    wait_until(lambda: school.kernels(ada.user) == [("Python 3", "idle"), ("Statistics (course)", "idle")], 60)
    ada.ask("DELETE", f"api/kernels/{busy.id}")
    wait_until(lambda: school.kernels(ada.user) == [("Statistics (course)", "idle")], 60)


def test_nobody_else_is_told(school: School, ada: Notebook) -> None:
    for who in (school.other, ada.user):
        answer = school.ask(who)
        assert answer.status_code == 403
        assert "Statistics" not in answer.text
    assert school.ask(school.other, "classes/physics").json()["people"][0]["servers"] == []


def test_the_token_that_a_server_is_shown_opens_that_server_and_nothing_else(
    school: School, ada: Notebook, bob: Notebook
) -> None:
    """A student reads it out of his own server; the teacher's browser never gets it."""
    wait_until(lambda: bool(school.ask(school.teacher) and school.heard()), 60)
    token = school.heard()[-1]
    headers = {"Authorization": f"token {token}"}
    assert token not in school.ask(school.teacher).text
    of = {"headers": headers, "timeout": 30, **PLAIN}
    assert httpx.get(f"{school.hub.url}{ada.base}api/kernels", **of).status_code == 200
    assert httpx.get(f"{school.hub.url}{bob.base}api/kernels", **of).status_code == 403
    for method, path, body in (
        ("GET", "/users", None),
        ("GET", f"/users/{bob.user}", None),
        ("GET", "/hubwright/classes/biology", None),
        ("GET", "/hubwright/usage?all=1", None),
        ("POST", f"/users/{ada.user}/tokens", {}),
        ("POST", f"/users/{bob.user}/server", {}),
        ("DELETE", f"/users/{bob.user}/server", None),
        ("GET", "/services", None),
    ):
        answer = school.hub.api(method, path, body, headers=headers)
        assert answer.status_code in (403, 404) or answer.json() in ([], {}), f"{method} {path}: {answer.text}"
    for name in (ada.user, bob.user):
        notes = school.hub.api("GET", f"/users/{name}/tokens").text
        assert "for a teacher" not in notes, "it is none of the student's own tokens"


def test_to_be_asked_is_no_activity(school: School, bob: Notebook) -> None:
    """Else nobody would ever be away, and no server idle."""

    def seen() -> Any:
        return school.hub.api("GET", f"/users/{bob.user}").json()["last_activity"]

    def by_itself() -> Any:
        return bob.ask("GET", "api/status?no_track_activity=1").json()["last_activity"]

    wait_until(lambda: school.kernels(bob.user) == [], 60)
    counted, before = by_itself(), seen()
    until = time.monotonic() + LOOKS + 4
    while time.monotonic() < until:
        assert school.kernels(bob.user) == []
        time.sleep(1)
    assert seen() == before
    assert by_itself() == counted


def test_servers_are_asked_only_while_somebody_looks(school: School, ada: Notebook) -> None:
    time.sleep(LOOKS)  # what an earlier test has begun ends
    before = len(school.heard())
    time.sleep(2 * LOOKS)
    assert len(school.heard()) == before
    for _ in range(5):
        school.ask(school.teacher)
    wait_until(lambda: len(school.heard()) == before + 1)
    school.ask(school.teacher)
    time.sleep(1)
    assert len(school.heard()) <= before + 2, "and not at every look"


def test_a_server_that_hangs_holds_nobody_up(school: School, ada: Notebook) -> None:
    """Nothing is known of it, and the others are told as ever."""
    eve = school.hub.start(school.eve)
    with frozen(eve.pid):
        began = time.monotonic()
        assert school.kernels(school.eve) is None
        assert time.monotonic() - began < 5 * SLOWNESS
        assert school.server(school.eve)["state"] == "running"
        wait_until(lambda: school.kernels(ada.user) == [("Statistics (course)", "idle")], 30)
    wait_until(lambda: school.kernels(school.eve) == [], 90)


def test_after_a_restart_of_the_hub_it_is_told_again(school: School, ada: Notebook) -> None:
    os.kill(school.hub.part("hub"), signal.SIGKILL)
    wait_until(school.hub.answers, 60)
    school.hub.settle(ada.user, "")
    wait_until(lambda: school.kernels(ada.user) == [("Statistics (course)", "idle")], 60)
