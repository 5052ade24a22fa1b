"""docs/classes.md as a teacher reads it: its two files and its commands, for people, a place and hours of the test's own."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.conftest import remove_account, wait_until
from tests.integration.auth.hub import Browser
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

PAGE = (Path(__file__).parents[3] / "docs" / "classes.md").read_text()
ELSEWHERE = {
    'listen: "0.0.0.0:443"\n  url: https://class.example.org/': 'listen: "127.0.0.1:{port}"',
    "https: {kind: acme, email: ada@example.org}\n": "",
    "[mon 09:00-10:30, thu 14:00-15:30]": "[mon-sun 00:00-23:59]",
    "  roster: people.yaml": "  roster: people.yaml\n  ids: {ids}",
    "/srv/shared/biology": "{shared}",
}
"""What of the page is another here: the address, the hours, and numbers and a folder that nothing of this machine has."""


@dataclass
class Nothing:
    """A machine without the class."""

    hub: Service
    people: dict[str, str]
    group: str
    shared: Path

    def here(self, text: str) -> str:
        """Return a piece of the page with the names of this test."""
        for name, instead in self.people.items():
            text = re.sub(rf"\b{name}\b", instead, text)
        return re.sub(r"(groups?:) (\[?)biology\b", rf"\1 \2{self.group}", text)


@pytest.fixture
def nothing(service: Callable[..., Service]) -> Iterator[Nothing]:
    people = {name: f"hwt-{secrets.token_hex(4)}" for name in ("ada", "bob", "carol")}
    group, shared = f"hwt-{secrets.token_hex(4)}", Path("/srv") / f"hwt-{secrets.token_hex(4)}"
    first = 2_000_000 + secrets.randbelow(900_000) * 1000
    roster, yaml = re.findall(r"```(?:yaml)?\n(- \{address.*?|hub:.*?)```", PAGE, re.DOTALL)
    for old, new in ELSEWHERE.items():
        assert old in yaml, old
        yaml = yaml.replace(old, new.replace("{ids}", f"{first}-{first + 999}").replace("{shared}", str(shared)))
    made = Nothing(service(""), people, group, shared)
    made.hub.yaml = made.here(yaml).replace("{port}", str(made.hub.port))
    (made.hub.folder / "people.yaml").write_text(made.here(roster))
    (made.hub.folder / "hub.yaml").write_text(made.hub.yaml)
    yield made
    made.hub.clean()
    for name in people.values():
        remove_account(name)
    subprocess.run(["groupdel", group], check=False, capture_output=True)
    shutil.rmtree(shared, ignore_errors=True)


def test_a_class_from_nothing(nothing: Nothing) -> None:
    """Its servers are there before anybody has logged in; then each chooses a password, and the teacher has her page."""
    hub, people = nothing.hub, nothing.people
    assert "can run" in hub.cli("check").stdout
    hub.up()
    printed = hub.cli("apply").stdout
    wait_until(lambda: all(hub.server(people[name]).get("ready") for name in ("bob", "carol")), 60)
    assert hub.server(people["ada"]) == {}
    sent = [dict(httpx.URL(link).params) for link in re.findall(r"http\S+/hub/claim\S+", printed)]
    links = {one["user"]: one for one in sent}
    assert {*links} == {*people.values()}
    teacher, student = Browser(hub.url), Browser(hub.url)
    try:
        for browser, name in ((teacher, "ada"), (student, "bob")):
            browser.claim(links[people[name]], "correct horse battery")
            assert browser.who() == people[name]
        assert "Biology 101" in teacher.get("/hub/classes/biology").text
        assert "/hub/classes" in teacher.get("/hub/home").text
        assert student.get("/hub/classes/biology").status_code == 403
        assert student.get(f"/user/{people['bob']}/lab").status_code in (200, 302)
    finally:
        teacher.client.close()
        student.client.close()
    assert (nothing.shared.stat().st_mode & 0o7777, nothing.shared.group()) == (0o2770, nothing.group)
