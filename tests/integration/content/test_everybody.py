"""`hubwright content push` without a name, as root gives it: to everybody who gets a content, told before and done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import pytest
from tests.conftest import Account
from tests.integration.content.conftest import tree, write
from tests.integration.content.test_fifty_homes import become, into
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub:
  listen: "127.0.0.1:{port}"
people:
  users: [%(users)s, %(stranger)s]
content:
  course:
    folder: %(folder)s
    allow: {users: [%(users)s]} # other people of this machine, of other tests, are users as well
"""


@dataclass
class World:
    """A service whose course is in the homes of two of three people, and a fourth who does not get it."""

    service: Service
    untouched: Account
    edited: Account
    empty: Account
    stranger: Account

    def homes(self) -> dict[str, dict[str, str]]:
        return {one.name: tree(one.home) for one in (self.untouched, self.edited, self.empty, self.stranger)}


@pytest.fixture
def world(many, source, service):
    *three, stranger = many.make(4)
    untouched, edited, empty = three
    users = ", ".join(one.name for one in three)
    made = service(YAML % {"users": users, "stranger": stranger.name, "folder": source})
    (made.folder / "hub.yaml").write_text(made.yaml)
    write(source, {"lesson.ipynb": "one", "data.csv": "1,2"})
    made.cli("content", "push", "--user", untouched.name, "--user", edited.name)
    become(edited, into("lesson.ipynb"))
    write(source, {"lesson.ipynb": "two", "new.ipynb": "new"})
    return World(made, untouched, edited, empty, stranger)


def test_a_push_reaches_every_home_in_its_state_as_the_dry_run_said(world):
    copy = f"lesson (original of {datetime.now().astimezone():%Y-%m-%d}).ipynb"
    before = world.homes()
    rows = {
        row["user"]: row
        for row in json.loads(world.service.cli("content", "push", "--dry-run", "--json").stdout)["homes"]
    }
    assert {name: row["counts"] for name, row in rows.items()} == {
        world.untouched.name: {"update": 1, "new": 1, "same": 1},
        world.edited.name: {"beside": 1, "new": 1, "same": 1},
        world.empty.name: {"new": 3},
    }
    printed = world.service.cli("content", "push", "--dry-run").stdout
    assert all(name in printed for name in rows)
    assert world.stranger.name not in printed
    assert world.homes() == before, "it changes nothing"

    done = world.service.cli("content", "push", "--json")
    assert {row["user"]: row["counts"] for row in json.loads(done.stdout)["homes"]} == {
        name: row["counts"] for name, row in rows.items()
    }
    new = {"lesson.ipynb": "two", "data.csv": "1,2", "new.ipynb": "new"}
    assert tree(world.untouched.home / "course") == tree(world.empty.home / "course") == new
    assert tree(world.edited.home / "course") == {**new, "lesson.ipynb": "mine", copy: "two"}
    assert world.homes()[world.stranger.name] == before[world.stranger.name]
    for one in (world.untouched, world.edited, world.empty):
        assert {path.stat().st_uid for path in (one.home / "course").rglob("*")} == {one.uid}

    after = world.homes()
    again = world.service.cli("content", "push")
    assert "Traceback" not in again.stdout + again.stderr
    assert world.homes() == after, "a second one has nothing to do"
