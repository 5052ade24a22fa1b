"""Handing out to a real folder, by the account that runs the tests: links, kills, full disks, odd homes."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from hubwright.content import taking, who
from hubwright.content.doing import Work
from hubwright.content.hand import carry_out
from hubwright.content.home import Changed, Home
from hubwright.content.record import FOLDER
from hubwright.content.store import Store
from hubwright.content.taking import Source
from hubwright.errors import MachineError

ME = (os.geteuid(), os.getegid())


class Course:
    """A source folder, its versions, and a home."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.source, self.home, self.state = folder / "source", folder / "home", folder / "state"
        for made in (self.source, self.home, self.state):
            made.mkdir(mode=0o755)
        self.store = Store(self.state, "course")

    def write(self, files: dict[str, str | None]) -> None:
        """Change the source; None removes."""
        for path, text in files.items():
            place = self.source / path
            if text is None:
                place.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)

    def take(self) -> int:
        return taking.take(self.store, Source(self.source, None), lambda _: None).number

    def hand(self, **more):
        person = who.Recipient("me", *ME, frozenset(), str(self.home))
        with who.order(person, {"course": "course"}, self.state, **more) as order:
            found = carry_out(order)
        return found[0] if found else None

    def push(self, files: dict[str, str | None]):
        self.write(files)
        self.take()
        return self.hand()

    def read(self) -> dict[str, str]:
        top = self.home / "course"
        return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}

    def left(self) -> list[str]:
        """What is in the record's folder."""
        return sorted(os.listdir(self.home / FOLDER))


@pytest.fixture
def tmp_path():
    """A folder that everybody may enter: as root the source is read without root's rights."""
    with tempfile.TemporaryDirectory(prefix="hwt-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path)


def test_two_versions_reach_a_home(course):
    assert course.push({"a.ipynb": "1", "data/x.csv": "2"})["counts"] == {"new": 2}
    assert course.read() == {"a.ipynb": "1", "data/x.csv": "2"}
    (course.home / "course/a.ipynb").write_text("mine")
    found = course.push({"a.ipynb": "11", "data/x.csv": "22", "new": "3"})
    assert found["counts"] == {"beside": 1, "update": 1, "new": 1} and found["version"] == 2
    (copy,) = course.home.glob("course/a (original of *).ipynb")
    assert copy.read_text() == "11" and (course.home / "course/a.ipynb").read_text() == "mine"
    assert course.hand()["counts"] == {"edited": 1, "same": 2}
    assert course.left() == ["course.json", "lock"], "nothing of the work is left"


def test_a_source_that_did_not_change_is_no_new_version(course):
    course.push({"a": "1"})
    assert course.take() == 1
    course.write({"a": "2"})
    assert course.take() == 2


def test_only_some_versions_are_kept(course):
    for number in range(5):
        course.push({"a": str(number)})
    assert sorted(path.name for path in course.store.folder.glob("[0-9]*")) == ["3", "4", "5"]


def test_what_is_due_is_handed_out_once(course):
    course.write({"a": "1"})
    course.take()
    assert course.hand(due=True)["counts"] == {"new": 1}
    assert course.hand(due=True) is None
    course.write({"a": "2"})
    course.take()
    assert course.hand(due=True)["counts"] == {"update": 1}


def test_a_service_that_was_made_anew_goes_on_with_homes_that_have_had_something(course):
    for text in ("1", "2"):
        course.push({"a": text})
    shutil.rmtree(course.state / "content")
    course.write({"a": "3"})
    assert course.take() == 1
    assert course.hand(due=True)["counts"] == {"update": 1}


def test_a_dry_run_writes_nothing(course):
    course.write({"a": "1"})
    course.take()
    found = course.hand(dry=True)
    assert [(step["what"], step["path"]) for step in found["steps"]] == [("new", "course/a")]
    assert os.listdir(course.home) == []


def test_a_dry_version_is_none(course):
    """While a dry run looks, somebody who starts gets what was pushed."""
    course.push({"a": "1"})
    course.write({"a": "2"})
    with taking.tried(course.store, Source(course.source, None), lambda _: None) as (version, folder):
        assert (version.number, version.files["a"].size, folder.name) == (2, 1, "dry")
        current = course.store.current()
        assert current and current.number == 1
    assert not folder.exists()


def test_links_in_a_home_are_never_followed(course, tmp_path):
    """A link in place of the folder, of a folder in it, of a file: what they lead to is as it was."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text("theirs")
    (course.home / "course").symlink_to(outside)
    found = course.push({"a": "1", "b/c": "2"})
    assert found["counts"] == {"beside": 2}
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"a": "theirs"}
    (copy,) = course.home.glob("course (original of *)")
    assert (copy / "a").read_text() == "1" and (copy / "b/c").read_text() == "2"

    (course.home / "course").unlink()
    (course.home / "course").mkdir()
    (course.home / "course/b").symlink_to(outside)
    (course.home / "course/a").symlink_to(outside / "a")
    course.push({"a": "11", "b/c": "22"})
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"a": "theirs"}
    assert (course.home / "course/a").is_symlink() and (course.home / "course/b").is_symlink()


def test_links_in_a_source_are_handed_out_as_links_or_left_out(course):
    course.write({"a": "1", "sub/b": "2"})
    (course.source / "inside").symlink_to("sub/b")
    (course.source / "sub/up").symlink_to("../a")
    (course.source / "shadow").symlink_to("/etc/shadow")
    (course.source / "sub/out").symlink_to("../../outside")
    os.mkfifo(course.source / "pipe")
    course.take()
    version = course.store.current()
    assert version and [line.partition(":")[0] for line in version.left] == ["pipe", "shadow", "sub/out"]
    assert course.hand()["counts"] == {"new": 4}
    assert os.readlink(course.home / "course/inside") == "sub/b"
    (course.source / "inside").unlink()
    (course.source / "inside").symlink_to("a")
    course.take()
    assert course.hand()["counts"] == {"same": 3, "update": 1}
    assert os.readlink(course.home / "course/inside") == "a"


def test_a_record_in_the_way_of_a_link_is_told(course, tmp_path):
    (course.home / ".local").symlink_to(tmp_path)
    found = course.push({"a": "1"})
    assert ".local is no folder of this home" in found["error"]
    assert not (course.home / "course").exists()


@pytest.mark.parametrize("record", ["", "{", "[]", '{"target": "course", "version": 1, "whole": true, "files": 3}'])
def test_a_damaged_record_loses_nothing(course, record):
    course.push({"a": "1", "b": "2"})
    (course.home / "course/a").write_text("mine")
    (course.home / FOLDER / "course.json").write_text(record)
    found = course.push({"a": "11", "b": "2"})
    assert found["counts"] == {"beside": 1, "same": 1}
    assert (course.home / "course/a").read_text() == "mine"


def test_a_record_that_leads_out_of_the_home_does_not(course, tmp_path):
    course.push({"a": "1"})
    victim = tmp_path / "victim"
    victim.write_text("1")
    record = course.home / FOLDER / "course.json"
    record.write_text(record.read_text().replace("course/a", "../victim"))
    course.push({"a": "2"})
    assert victim.read_text() == "1"


def test_what_a_kill_left_is_completed(course):
    """Half a push: some files are new already, and the record is the old one."""
    course.push({"a": "1", "b": "1", "c": "1"})
    record = (course.home / FOLDER / "course.json").read_bytes()
    (course.home / "course/c").write_text("mine")
    course.push({"a": "2", "b": "2", "c": "2"})
    (course.home / FOLDER / "course.json").write_bytes(record)
    (course.home / "course/b").write_text("1")
    (course.home / FOLDER / "part").mkdir()
    (course.home / FOLDER / "part/half").write_text("half")
    assert course.hand()["counts"] == {"same": 2, "update": 1}, "the copy of c is there already"
    assert len(course.read()) == 4 and "part" not in course.left()


def test_what_was_saved_between_looking_and_writing_stays(course, monkeypatch):
    course.push({"a": "1"})
    write = Work._write

    def late(self, step):
        if step.what == "update":
            (course.home / "course/a").write_text("saved just now")
        return write(self, step)

    monkeypatch.setattr(Work, "_write", late)
    found = course.push({"a": "2"})
    assert found["problems"] == ["course/a: was changed just now"]
    assert (course.home / "course/a").read_text() == "saved just now"
    monkeypatch.undo()
    assert course.hand(due=True)["counts"] == {"beside": 1}, "the next time knows"


def test_a_file_is_replaced_only_while_it_is_what_it_was(tmp_path):
    """Also when it is saved after the last look: then the exchange is undone."""
    (tmp_path / "staged").write_text("new")
    (tmp_path / "a").write_text("mine")
    folder = os.open(tmp_path, os.O_RDONLY)
    home = Home(folder)
    looks = iter([home.look("a")])

    class Late(Home):
        def _look(self, folder, name):
            return super()._look(folder, name) if (found := next(looks, None)) is None else found

    with pytest.raises(Changed):
        late = Late(folder)
        expected = home.look("a").digest
        (tmp_path / "a").write_text("saved since")
        late.replace((folder, "staged"), "a", expected)
    assert (tmp_path / "a").read_text() == "saved since"
    os.close(folder)


def test_a_second_hand_out_at_the_same_time_is_told_so(course):
    course.push({"a": "1"})
    with (course.home / FOLDER / "lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        course.write({"a": "2"})
        course.take()
        assert "just being handed out" in course.hand(due=True)["error"]
    assert course.hand(due=True)["counts"] == {"update": 1}


def test_a_damaged_original_is_not_handed_out(course):
    course.write({"a": "1", "b": "2"})
    course.take()
    (course.store.folder / "1/tree/a").write_text("x")
    found = course.hand()
    assert found["problems"] == ["course/a: the original is damaged"]
    assert course.read() == {"b": "2"}


def test_modes_and_odd_names(course):
    odd = os.fsdecode(b"\xff odd \n name")
    course.write({odd: "1", "run.sh": "2", "." + "x" * 200: "3"})
    (course.source / "run.sh").chmod(0o4755)
    (course.source / ".git").mkdir()
    (course.source / ".git/config").write_text("secret")
    course.take()
    course.hand()
    assert (course.home / "course" / odd).read_text() == "1"
    assert stat.S_IMODE((course.home / "course/run.sh").stat().st_mode) == 0o755
    assert not (course.home / "course/.git").exists()


def test_restoring_one_file_brings_only_that(course):
    course.push({"a": "1", "d/b": "2", "d/c": "3"})
    (course.home / "course/a").write_text("mine")
    (course.home / "course/d/b").unlink()
    (course.home / "course/d/c").unlink()
    found = course.hand(asked=["d/b"])
    assert found["counts"] == {"new": 1} and "d/c" not in course.read()
    found = course.hand(asked=["a"])
    (step,) = found["steps"]
    assert step["what"] == "beside" and (course.home / step["place"]).read_text() == "1"
    assert (course.home / "course/a").read_text() == "mine"
    assert course.hand(asked=[""])["counts"] == {"same": 2, "new": 1}


def test_another_target_is_another_hand_out(course):
    course.push({"a": "1"})
    (course.home / "course/a").write_text("mine")
    person = who.Recipient("me", *ME, frozenset(), str(course.home))
    with who.order(person, {"course": "elsewhere/course"}, course.state) as order:
        assert carry_out(order)[0]["counts"] == {"new": 1}
    assert (course.home / "elsewhere/course/a").read_text() == "1"
    assert (course.home / "course/a").read_text() == "mine"


def test_a_source_that_is_not_there_is_told(course):
    with pytest.raises(MachineError, match="No such file"):
        taking.take(course.store, Source(course.source / "gone", None), lambda _: None)
    with pytest.raises(MachineError, match="No such file"):
        taking.take(course.store, Source(course.source, None, "gone"), lambda _: None)
