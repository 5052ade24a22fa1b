"""Logs are bounded, and their ends can be read."""

import os
import subprocess

import pytest

from hubwright.care.log import bound, follow, last_lines


def test_a_log_above_its_limit_keeps_its_end_and_goes_on(tmp_path):
    path = tmp_path / "hub.log"
    writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(writer, b"old\n" * 100 + b"end\n")
    assert bound([tmp_path, tmp_path / "missing"], limit=100) == [path]
    os.write(writer, b"new\n")
    os.close(writer)
    assert path.read_text() == "new\n"
    older = tmp_path / "hub.log.1"
    assert older.read_text().endswith("old\nend\n")
    assert older.stat().st_size == 100
    assert older.stat().st_mode & 0o777 == 0o600
    assert bound([tmp_path], limit=100) == []


def test_links_and_other_files_are_left_alone(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("x" * 1000)
    (tmp_path / "link.log").symlink_to(victim)
    (tmp_path / "folder.log").mkdir()
    assert bound([tmp_path], limit=10) == []
    assert victim.stat().st_size == 1000


def test_the_last_lines_of_a_log(tmp_path):
    path = tmp_path / "hub.log"
    assert last_lines(path, 5) == []
    path.write_bytes(b"x" * 200_000 + b"\n" + b"one\ntwo\n\xffthree\n")
    assert last_lines(path, 2) == ["two", "\ufffdthree"]
    assert last_lines(path, 0) == []


def test_following_shows_what_is_added_also_after_a_cut(tmp_path):
    path = tmp_path / "hub.log"
    path.write_text("before\n")
    news = follow(path)
    assert next(news) == ""
    with path.open("a") as file:
        file.write("one\n")
    assert next(news) == "one\n"
    path.write_text("new\n")
    assert next(news) == "new\n"
    path.unlink()
    assert next(news) == ""
    path.write_text("again\n")
    assert next(news) == "again\n"


@pytest.fixture
def full_disk(tmp_path):
    """A disk of 64 KB with two logs on it, and no room for more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", disk], check=True)
    try:
        (disk / "a.log").write_bytes(b"a" * 16384)
        with pytest.raises(OSError), (disk / "b.log").open("wb", buffering=0) as log:
            while log.write(b"b" * 4096):
                pass
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.root
def test_on_a_full_disk_logs_are_cut_without_a_copy(full_disk):
    assert sorted(bound([full_disk], limit=12288)) == [full_disk / "a.log", full_disk / "b.log"]
    assert [(full_disk / name).stat().st_size for name in ("a.log", "b.log")] == [0, 0]
    assert [path.name for path in full_disk.iterdir() if path.name.startswith(".")] == []
    (full_disk / "room").write_bytes(b"x" * 4096)


def test_a_log_that_cannot_be_copied_is_cut_and_does_not_stop_the_others(tmp_path):
    for name in ("a.log", "b.log", "c.log"):
        (tmp_path / name).write_bytes(b"x" * 200)
    (tmp_path / "b.log.1").mkdir()
    assert len(bound([tmp_path / "a.log", tmp_path], limit=100)) == 3  # the first of them is no folder
    assert [(tmp_path / name).stat().st_size for name in ("a.log", "b.log", "c.log")] == [0, 0, 0]
    assert (tmp_path / "c.log.1").stat().st_size == 100
