"""Versions of an environment: one is taken in one step, the last few are kept, and a half one is never any."""

import os
import subprocess

import pytest

from hubwright.envs.versions import KEPT, Version, Versions
from hubwright.errors import MachineError, Refused


def add(versions: Versions, words: str = "") -> Version:
    folder = versions.begin()
    (folder / "words").write_text(words)
    made = Version(int(folder.name), "2030-01-01T00:00:00+00:00", "0" * 16, "3.11.2", str(folder), {"six": "1"})
    versions.record(made)
    versions.take(made)
    return made


def test_what_was_never_built_has_no_version(tmp_path):
    versions = Versions(tmp_path / "science")
    assert versions.current() is None
    assert versions.all() == []


def test_each_version_takes_the_place_of_the_one_before(tmp_path):
    versions = Versions(tmp_path / "science")
    first, second = add(versions, "one"), add(versions, "two")
    assert [one.number for one in versions.all()] == [1, 2]
    assert versions.current() == second
    assert (versions.folder / "current" / "words").read_text() == "two"
    versions.take(versions.before(None))
    assert versions.current() == first
    assert (versions.folder / "current" / "words").read_text() == "one"


def test_a_half_version_is_cleared_away_and_its_number_used_again(tmp_path):
    versions = Versions(tmp_path / "science")
    add(versions)
    half = versions.begin()
    (half / "prefix").mkdir()
    assert [one.number for one in versions.all()] == [1]
    again = versions.begin()
    assert again == half
    assert list(again.iterdir()) == []


def test_the_last_few_are_kept_and_always_the_current_one(tmp_path):
    versions = Versions(tmp_path / "science")
    first = add(versions)
    for _ in range(KEPT):
        add(versions)
    versions.take(first)
    assert versions.prune() == []
    versions.take(versions.all()[-1])
    assert versions.prune() == [1]
    assert [one.number for one in versions.all()] == [2, 3, 4]
    assert sorted(path.name for path in (versions.folder / "versions").iterdir()) == ["2", "3", "4"]


def test_there_may_be_nothing_before(tmp_path):
    versions = Versions(tmp_path / "science")
    add(versions)
    with pytest.raises(Refused, match="no version before this one"):
        versions.before(None)
    with pytest.raises(Refused, match="no version 7 of science"):
        versions.before(7)


def test_a_second_builder_is_refused_by_the_first_ones_number(tmp_path):
    versions, other = Versions(tmp_path / "science"), Versions(tmp_path / "science")
    with versions.lock(), pytest.raises(Refused, match=r"is just being built, by process \d+"), other.lock():
        raise AssertionError("both built")
    with other.lock():
        pass


def test_a_damaged_record_is_told(tmp_path):
    versions = Versions(tmp_path / "science")
    add(versions)
    (versions.folder / "current" / "version.json").write_text("{")
    with pytest.raises(MachineError, match="cannot be read"):
        versions.current()


def test_an_old_version_stays_while_a_process_uses_it(tmp_path):
    """The first removal after its end takes it."""
    versions = Versions(tmp_path / "science")
    first = versions.folder_of(add(versions))
    for _ in range(KEPT):
        add(versions)
    user = subprocess.Popen(["sleep", "60"], env={**os.environ, "SHARED": f"{first}/lib"})
    try:
        assert versions.prune() == []
    finally:
        user.kill()
        user.wait()
    assert versions.prune() == [1]
