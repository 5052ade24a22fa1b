"""Two versions of a course and 51 homes of real accounts, in every state of editing; pushed, killed, pushed twice at once."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from tests.conftest import wait_until
from tests.integration.content.conftest import tree, write

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

YAML = """\
hub:
  listen: "127.0.0.1:{port}"
people:
  users: [%(users)s]
content:
  course:
    folder: %(folder)s
  extra:
    folder: %(folder)s-extra
    target: teaching/extra
    allow: {users: [%(some)s]}
"""
V1 = {
    "lesson.ipynb": "one",
    "data/a.csv": "1,2",
    "data/b.csv": "3,4",
    "gone.txt": "will go",
    "old name.py": "renamed",
    "file": "becomes a folder",
    "folder/inside": "becomes a file",
    "same.md": "always",
}
V2 = {
    "lesson.ipynb": "two",
    "data/b.csv": "5,6",
    "new.ipynb": "new",
    "gone.txt": None,
    "old name.py": None,
    "new name.py": "renamed",
    "file": None,
    "file/inside": "a folder now",
    "folder/inside": None,
    "folder": "a file now",
}
UPDATED = {
    "lesson.ipynb": "two",
    "data/a.csv": "1,2",
    "data/b.csv": "5,6",
    "gone.txt": "will go",
    "new name.py": "renamed",
    "file/inside": "a folder now",
    "folder": "a file now",
    "same.md": "always",
    "new.ipynb": "new",
}
"""What somebody has in the end who has touched nothing."""
TODAY = f"{datetime.now().astimezone():%Y-%m-%d}"
COPY = f"lesson (original of {TODAY}).ipynb"

Edit = Callable[[Path], None]
Change = dict[str, str | None]


def into(path: str, text: str = "mine") -> Edit:
    return lambda home: write(home / "course", {path: text})


def without(*paths: str) -> Edit:
    return lambda home: write(home / "course", dict.fromkeys(paths))


def to(old: str, new: str) -> Edit:
    return lambda home: (home / "course" / old).rename(home / "course" / new) and None


def linked(home: Path) -> None:
    (home / "course/lesson.ipynb").unlink()
    (home / "course/lesson.ipynb").symlink_to("/etc/hostname")


def folder_linked(home: Path) -> None:
    (home / "course/data").rename(home / "data")
    (home / "course/data").symlink_to(home / "data")


def course_linked(home: Path) -> None:
    (home / "course").rename(home / "elsewhere")
    (home / "course").symlink_to(home / "elsewhere")


def file_for_folder(home: Path) -> None:
    write(home / "course", {"data/a.csv": None, "data/b.csv": None})
    write(home / "course", {"data": "mine"})


def folder_for_file(home: Path) -> None:
    write(home / "course", {"lesson.ipynb": None})
    write(home / "course", {"lesson.ipynb/mine": "mine"})


def unreadable(home: Path) -> None:
    write(home / "course", {"lesson.ipynb": "mine"})
    (home / "course/lesson.ipynb").chmod(0)


def record_lost(home: Path) -> None:
    write(home / "course", {"lesson.ipynb": "mine"})
    (home / ".local/share/hubwright/content/course.json").unlink()


STATES: dict[str, tuple[Edit, Change]] = {
    "untouched": (lambda home: None, {}),
    "edited": (into("lesson.ipynb"), {"lesson.ipynb": "mine", COPY: "two"}),
    "edited, unchanged there": (into("same.md"), {"same.md": "mine"}),
    "edited to what it becomes": (into("lesson.ipynb", "two"), {}),
    "more of his own": (into("mine/notes.txt"), {"mine/notes.txt": "mine"}),
    "deleted": (without("lesson.ipynb"), {"lesson.ipynb": None}),
    "deleted folder": (without("data/a.csv", "data/b.csv"), {"data/a.csv": None, "data/b.csv": None}),
    "deleted, renamed there": (without("old name.py"), {"new name.py": None}),
    "edited, renamed there": (into("old name.py"), {"old name.py": "mine"}),
    "edited, removed there": (into("gone.txt"), {"gone.txt": "mine"}),
    "renamed": (to("lesson.ipynb", "my lesson.ipynb"), {"lesson.ipynb": None, "my lesson.ipynb": "one"}),
    "has the new name already": (into("new.ipynb"), {"new.ipynb": "mine", f"new (original of {TODAY}).ipynb": "new"}),
    "edited, becomes a folder": (
        into("file"),
        {"file": "mine", "file/inside": None, f"file (original of {TODAY})/inside": "a folder now"},
    ),
    "edited in a folder that becomes a file": (
        into("folder/inside"),
        {"folder": None, "folder/inside": "mine", f"folder (original of {TODAY})": "a file now"},
    ),
    "own work in a folder that becomes a file": (
        into("folder/mine"),
        {
            "folder": None,
            "folder/inside": "becomes a file",
            "folder/mine": "mine",
            f"folder (original of {TODAY})": "a file now",
        },
    ),
    "a file in place of a folder": (file_for_folder, {"data": "mine", "data/a.csv": None, "data/b.csv": None}),
    "a folder in place of a file": (
        folder_for_file,
        {"lesson.ipynb": None, "lesson.ipynb/mine": "mine", COPY: "two"},
    ),
    "a link in place of a file": (linked, {"lesson.ipynb": "/etc/hostname", COPY: "two"}),
    "record lost": (
        record_lost,
        {
            **{"lesson.ipynb": "mine", COPY: "two"},
            **{"data/b.csv": "3,4", f"data/b (original of {TODAY}).csv": "5,6"},
            **{"old name.py": "renamed", "file": "becomes a folder", "file/inside": None},
            **{f"file (original of {TODAY})/inside": "a folder now", "folder": None},
            **{"folder/inside": "becomes a file", f"folder (original of {TODAY})": "a file now"},
        },
    ),
}
"""What a student does between the versions, and what is otherwise in the end than for one who does nothing."""
ODD: dict[str, Edit] = {
    "a link in place of a folder": folder_linked,
    "a link in place of the course": course_linked,
    "a file that cannot be read": unreadable,
}


def expected(change: Change) -> dict[str, str]:
    """What somebody has in the end."""
    return {path: text for path, text in {**UPDATED, **change}.items() if text is not None}


@pytest.fixture(scope="module")
def world(many, source, service):
    """51 homes that have had the first version, and what each of their owners has done since."""
    states = [*STATES, *ODD]
    people = many.make(51)
    of = {person.name: (person, states[index % len(states)]) for index, person in enumerate(people)}
    extra = source.with_name(source.name + "-extra")
    extra.mkdir(mode=0o755)
    names = [person.name for person in people]
    made = service(YAML % {"users": ", ".join(names), "folder": source, "some": ", ".join(names[:2])})
    (made.folder / "hub.yaml").write_text(made.yaml)
    write(source, V1)
    write(extra, {"a": "extra"})
    made.cli("content", "push", *only(of))
    for person, state in of.values():
        become(person, STATES[state][0] if state in STATES else ODD[state])
    yield made, of, extra
    write(extra, {"a": None})


def only(of) -> list[str]:
    """Name them: other people of this machine, of other tests, are let in as well."""
    return [word for name in of for word in ("--user", name)]


def become(person, edit: Edit) -> None:
    """Do something as that person."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(person.gid, person.gid, person.gid)
            os.setresuid(person.uid, person.uid, person.uid)
            edit(person.home)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def command(made, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        made.command("content", "push", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_first_version_reached_everybody_who_gets_it(world):
    made, of, _ = world
    rows = json.loads(made.cli("content", "push", "--dry-run", "--json", *only(of)).stdout)["homes"]
    assert {row["user"] for row in rows if row["name"] == "course"} == {*of}
    chosen = [row["user"] for row in rows if row["name"] == "extra"]
    assert sorted(chosen) == sorted([*of][:2]), "only who is named gets it"
    for name in chosen:
        assert tree(of[name][0].home / "teaching/extra") == {"a": "extra"}
    inside = [path for person, _ in of.values() for path in person.home.rglob("*")]
    assert all(path.lstat().st_uid == path.parents[0].stat().st_uid for path in inside), "all is its owner's"


def test_a_dry_run_says_what_a_push_does_and_changes_nothing(world, source):
    made, of, _ = world
    write(source, V2)
    before = {name: tree(person.home) for name, (person, _) in of.items() if name}
    done = made.cli("content", "push", "course", "--dry-run", "--json", *only(of))
    rows = {row["user"]: row for row in json.loads(done.stdout)["homes"]}
    untouched = next(name for name, (_, state) in of.items() if state == "untouched")
    assert rows[untouched]["counts"] == {"remove": 3, "update": 2, "new": 4, "same": 2}
    edited = next(name for name, (_, state) in of.items() if state == "edited")
    (copy,) = (step["place"] for step in rows[edited]["steps"] if step["what"] == "beside")
    assert copy == f"course/{COPY}"
    table = made.cli("content", "push", "course", "--dry-run", "--user", edited).stdout
    assert edited in table and "beside" in table
    assert {name: tree(person.home) for name, (person, _) in of.items()} == before


def test_a_killed_push_and_two_at_once_lead_every_home_to_where_it_should_be(world, source):
    made, of, _ = world
    write(source, V2) if (source / "gone.txt").exists() else None
    killed = command(made, "course", *only(of))
    someone = next(person for person, state in of.values() if state == "untouched")
    wait_until(lambda: (someone.home / "course/new.ipynb").exists() or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    both = [command(made, "course", *only(of)), command(made, "course", *only(of))]
    for one in both:
        out = one.communicate(timeout=200)[0]
        assert "Traceback" not in out, out
    wrong = {}
    for name, (person, state) in of.items():
        found = tree(person.home / "course") if state not in ODD else {}
        if state in STATES and found != expected(STATES[state][1]):
            wrong[f"{state} ({name})"] = found
        if os.path.exists(person.home / ".local/share/hubwright/content/part"):
            wrong[f"{state} ({name}) has leftovers"] = {}
    assert wrong == {}


def test_links_and_what_cannot_be_read_are_left_as_they_are(world):
    _, of, _ = world
    for person, state in of.values():
        course = person.home / "course"
        if state == "a link in place of a folder":
            assert course.joinpath("data").is_symlink()
            assert tree(person.home / "data") == {"a.csv": "1,2", "b.csv": "3,4"}
            assert tree(course)["lesson.ipynb"] == "two", "all else is updated"
        elif state == "a link in place of the course":
            assert course.is_symlink()
            assert tree(person.home / "elsewhere")["lesson.ipynb"] == "one"
        elif state == "a file that cannot be read":
            assert (course / "lesson.ipynb").stat().st_mode & 0o777 == 0
            assert (course / COPY).read_text() == "two"


def test_a_push_that_has_nothing_to_do_writes_nothing(world):
    made, of, _ = world
    person = next(person for person, state in of.values() if state == "edited")
    before = {path: path.stat().st_mtime_ns for path in (person.home / "course").rglob("*")}
    began = time.monotonic()
    rows = json.loads(made.cli("content", "push", "course", "--json", *only(of)).stdout)["homes"]
    print(f"51 homes, nothing to do: {time.monotonic() - began:.1f} s")
    writes = {"new", "update", "beside", "remove"}
    assert not [row for row in rows if writes & row["counts"].keys()]
    assert {path: path.stat().st_mtime_ns for path in (person.home / "course").rglob("*")} == before


def test_originals_come_back_one_by_one(world):
    made, of, _ = world
    deleted = next(person for person, state in of.values() if state == "deleted")
    found = json.loads(
        made.cli("content", "restore", "course", "lesson.ipynb", "--user", deleted.name, "--json").stdout
    )
    assert found["counts"] == {"new": 1} and (deleted.home / "course/lesson.ipynb").read_text() == "two"
    edited = next(person for person, state in of.values() if state == "edited, unchanged there")
    made.cli("content", "restore", "course", "same.md", "--user", edited.name)
    assert (edited.home / "course/same.md").read_text() == "mine"
    assert (edited.home / f"course/same (original of {TODAY}).md").read_text() == "always"
    refused = made.cli("content", "restore", "course", "lesso.ipynb", "--user", edited.name, check=False)
    assert 'Perhaps you meant "lesson.ipynb"?' in refused.stderr
    refused = made.cli("content", "restore", "extra", "a", "--user", [*of][5], check=False)
    assert "does not get extra" in refused.stderr


def test_somebody_who_is_no_user_gets_nothing(world):
    made, _, _ = world
    done = made.cli("content", "push", "--user", f"hwt-{secrets.token_hex(4)}", check=False)
    assert done.returncode == 77 and "has no account that this service serves" in done.stderr
