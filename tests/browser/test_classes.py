"""Classes: servers that are there before the lesson, a teacher's page, and what nobody else may see or do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Person
from tests.conftest import Account, wait_until
from tests.integration.auth.hub import Browser
from tests.running import PLAIN, Notebook, Service
from tests.slowness import SLOWNESS

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(300)]

YAML = """\
hub: {{name: Physics Lab, listen: "127.0.0.1:{{port}}", landing: home}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local}}
profiles: {{sizes: {{Small: {{cpu: 1, memory: 1G}}}}, default: {{sizes: [Small], servers: 2}}}}
metrics: {{every: 1s}}
classes:
  biology:
    title: Biology 101
    users: [{biology}]
    teachers: [{teacher}]
    timetable: ["{today} {soon}-{late}"]
    time_zone: {zone}
    start_before: {before}s
    at_once: 2
  short:
    users: [{short}]
    teachers: [{other}]
    timetable: ["{weekday} {early}-{end}"]
    time_zone: {zone}
    stop_after: 3s
  missing:
    users: [hwt-nobody]
    teachers: [{other}]
    timetable: ["{weekday} 00:00-23:59"]
    time_zone: {zone}
  holiday:
    users: [{free}]
    timetable: ["{weekday} 00:00-23:59"]
    time_zone: {zone}
    not_on: [{today}]
"""
AHEAD = 18 * SLOWNESS
"""Seconds from the writing of hub.yaml until the servers of biology are to start."""


@dataclass
class School:
    """A service with three classes, whose times are chosen by the clock."""

    hub: Service
    teacher: Account
    other: Account
    biology: list[Account]
    short: list[Account]
    free: Account
    begins: datetime
    """When biology begins."""
    ends: datetime
    """When short ends."""

    def running(self, people: list[Account]) -> list[str]:
        return [one.name for one in people if self.hub.server(one.name).get("ready")]

    def api(self, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"token {self.hub.token(who)}"}
        return self.hub.api(method, f"/hubwright/{path}", body, headers=headers)


@pytest.fixture(scope="module")
def school(service: Callable[..., Service], module_account: Callable[..., Account]) -> School:
    teacher, other, free = (module_account() for _ in range(3))
    biology, short = [module_account() for _ in range(5)], [module_account() for _ in range(2)]
    now = datetime.now(UTC)
    offset = 12 - now.hour  # so that it is noon there: no day ends while this runs
    there = now + timedelta(hours=offset)
    begins = (there + timedelta(minutes=4 * SLOWNESS)).replace(second=0, microsecond=0)
    ends = (there + timedelta(seconds=130 * SLOWNESS)).replace(second=0, microsecond=0)
    yaml = YAML.format(
        teacher=teacher.name,
        other=other.name,
        biology=", ".join(one.name for one in biology),
        short=", ".join(one.name for one in short),
        free=free.name,
        zone=f"Etc/GMT{-offset:+d}",
        today=there.date(),
        weekday=f"{there:%a}".lower(),
        soon=f"{begins:%H:%M}",
        late=f"{begins + timedelta(hours=1):%H:%M}",
        before=round((begins - there).seconds - AHEAD),
        early=f"{there - timedelta(minutes=30):%H:%M}",
        end=f"{ends:%H:%M}",
    )
    hub = service(yaml).up()
    for one in (teacher, other, free):
        hub.add_user(one.name)
    back = timedelta(hours=offset)
    return School(hub, teacher, other, biology, short, free, begins - back, ends - back)


def test_servers_are_there_before_the_lesson_a_few_starting_at_a_time(school: School) -> None:
    """Also of people who have never been here; and not before their time, nor on a holiday."""
    assert school.running(school.biology) == []
    most, names = 0, {one.name for one in school.biology}
    while len(school.running(school.biology)) < len(school.biology):
        assert datetime.now(UTC) < school.begins, school.hub.logs()
        known = school.hub.api("GET", "/users").json()
        most = max(most, sum(one["pending"] == "spawn" for one in known if one["name"] in names))
        time.sleep(0.05)
    assert 1 <= most <= 2
    assert school.running([school.free, school.teacher, school.other]) == []


def test_who_stops_his_server_in_a_lesson_keeps_it_stopped(school: School) -> None:
    someone, own = school.biology[0].name, school.short[1].name
    wait_until(lambda: len(school.running(school.short)) == 2, 60)
    school.hub.stop(someone)
    school.hub.stop(own)
    school.hub.start(own)
    time.sleep(8)
    assert school.hub.server(someone) == {}


def test_whose_server_cannot_start_is_told_why(school: School) -> None:
    """Somebody without an account, whom to stand in a class does not let in."""

    def why() -> str:
        (person,) = school.api(school.other.name, "GET", "classes/missing").json()["people"]
        assert person["servers"] == []
        return str(person["failure"])

    wait_until(lambda: "hwt-nobody" in why(), 30)


def test_only_its_teacher_sees_and_does_something_for_a_class(school: School) -> None:
    student = school.biology[1].name
    started = school.hub.server(student)["started"]
    tasks = [
        ("GET", "classes/biology", None),
        ("POST", "classes/biology/start", {}),
        ("POST", "classes/biology/stop", {}),
        ("POST", "classes/biology/messages", {"text": "Hello", "minutes": 5}),
    ]
    for method, path, body in tasks:
        assert school.api(student, method, path, body).status_code == 403, path
        assert school.api(school.other.name, method, path, body).status_code == 403, path
        assert school.hub.api(method, f"/hubwright/{path}", body, headers={}).status_code == 403, path
    assert school.hub.server(student)["started"] == started
    assert school.api(school.teacher.name, "GET", "classes/short").status_code == 403
    assert school.api(school.teacher.name, "GET", "classes/none").status_code == 403
    outside = {"users": [school.short[0].name]}
    assert school.api(school.teacher.name, "POST", "classes/biology/stop", outside).status_code == 400
    # he is no admin, and his students' notebooks are closed to him
    headers = {"Authorization": f"token {school.hub.token(school.teacher.name)}"}
    assert school.hub.api("DELETE", f"/users/{student}", headers=headers).status_code in (403, 404)
    own = {school.teacher.name, *(one.name for one in school.biology)}
    assert {one["name"] for one in school.hub.api("GET", "/users", headers=headers).json()} <= own
    answer = httpx.get(f"{school.hub.url}/user/{student}/api/contents", headers=headers, timeout=30, **PLAIN)
    assert answer.status_code == 403


def test_what_runs_in_a_teachers_notebook_is_not_the_teacher(school: School) -> None:
    """The token of a server opens no class: who is let into it, or a notebook from elsewhere, would have it."""
    notebook = school.hub.start(school.teacher.name)
    token = notebook.kernel().value("import os, json; print(json.dumps(os.environ['JUPYTERHUB_API_TOKEN']))")
    headers = {"Authorization": f"token {token}"}
    assert school.hub.api("GET", "/hubwright/messages", headers=headers).status_code == 200
    assert school.hub.api("GET", "/hubwright/classes/biology", headers=headers).status_code == 403
    assert school.hub.api("POST", "/hubwright/classes/biology/stop", {}, headers=headers).status_code == 403


def test_no_other_site_acts_in_the_teachers_name(school: School) -> None:
    """A request with his cookie needs the page's XSRF token, too."""
    browser = Browser(school.hub.url)
    try:
        assert browser.login(school.teacher.name, school.teacher.password).status_code == 302
        sent = {"text": "Forged", "minutes": 5}
        address = "/hub/api/hubwright/classes/biology/messages"
        assert browser.client.post(address, json=sent).status_code == 403
        assert browser.client.post(address, json=sent, headers={"X-XSRFToken": "forged"}).status_code == 403
    finally:
        browser.client.close()
    assert "Forged" not in school.api(school.teacher.name, "GET", "classes/biology").text


def test_a_teachers_page(school: School, person: Callable[[Service], Person]) -> None:
    stopped, student = school.biology[0], school.biology[1]
    teacher, pupil = person(school.hub), person(school.hub)
    pupil.enter(student)
    pupil.open(f"/user/{student.name}/lab")
    pupil.lab()
    page = teacher.enter(school.teacher)
    page.get_by_role("link", name="Classes").click()
    expect(page.locator("h1")).to_have_text("Biology 101")
    expect(page.locator("#when")).to_contain_text("Servers start for" if before(school) else "Now, until")
    rows = page.locator("#people tbody tr")
    expect(rows).to_have_count(len(school.biology))
    expect(page.locator("#short")).to_contain_text("4 have servers")
    row = page.locator(f"tr[data-user={student.name}]")
    expect(row.locator("[data-cell=seen]")).to_have_text("here", timeout=90_000)
    expect(page.locator("#short")).to_contain_text("1 of 5 here")
    expect(row.locator("[data-cell=memory]")).to_contain_text("of 1 GB")
    expect(row.locator("[data-cell=state]")).to_contain_text("Small")
    kernels = [Notebook(school.hub, student.name, "").kernel() for _ in range(2)]
    kernels[0].send("import time\nwhile True: time.sleep(0.1)")
    assert kernels[1].run("6 * 7") == "42"
    expect(row.locator("[data-cell=kernels] li")).to_have_text(["Python 3: busy", "Python 3: idle"], timeout=60_000)
    empty = page.locator(f"tr[data-user={school.biology[2].name}] [data-cell=kernels]")
    expect(empty).to_have_text("none", timeout=60_000)
    expect(page.locator(f"tr[data-user={stopped.name}] [data-cell=kernels]")).to_have_text("–")

    page.fill("#text", "Please hand in exercise 3 by ten")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#said li")).to_contain_text(f"Please hand in exercise 3 by ten ({school.teacher.name}, until")
    teacher.picture("class")
    notice = pupil.page.locator(".Toastify__toast", has_text="Biology 101: Please hand in exercise 3 by ten")
    notice.wait_for(timeout=60_000)
    pupil.picture("class-message-lab", themes=False)
    pupil.open("/hub/home")
    expect(pupil.page.locator(".hw-message")).to_contain_text("Biology 101: Please hand in exercise 3 by ten")
    expect(pupil.page.get_by_role("link", name="Classes")).to_have_count(0)
    pupil.picture("class-message")

    gone = page.locator(f"tr[data-user={stopped.name}]")
    expect(gone.locator(".hw-state")).to_have_text("Not running")
    page.get_by_role("button", name="Start all").click()
    expect(gone.locator(".hw-state")).to_contain_text("Running")
    page.get_by_role("button", name=f"Stop the server of {stopped.name}").click()
    expect(gone.locator(".hw-state")).to_have_text("Not running")
    assert len(school.running(school.biology)) == 4
    page.get_by_role("button", name="Take back").click()
    expect(page.locator("#said")).to_be_hidden()

    pupil.open("/hub/classes/biology")
    expect(pupil.page.locator("h1")).to_have_text("You may not see this page")
    pupil.forget("403")


def before(school: School) -> bool:
    return datetime.now(UTC) < school.begins


def test_after_the_lesson_what_it_started_stops_and_nothing_else(school: School) -> None:
    """The other one has stopped his server meanwhile, and started it himself."""
    pupil, own = (one.name for one in school.short)
    if datetime.now(UTC) < school.ends:
        assert len(school.running(school.short)) == 2
    wait_until(lambda: datetime.now(UTC) > school.ends, 150)
    wait_until(lambda: school.hub.server(pupil) == {}, 60)
    assert school.hub.server(own)["ready"]
    assert school.hub.server(school.biology[1].name)["ready"]


def test_a_hub_that_was_away_starts_late_what_is_still_on(school: School) -> None:
    """Also what has ended with the service in the middle of a lesson."""
    school.hub.down()
    school.hub.up()
    wait_until(lambda: len(school.running(school.biology)) == len(school.biology), 120)
