"""What a home's owner may put there and root's programs come across: mounts that never answer, names for a terminal."""

from __future__ import annotations

import io
import os
import tarfile
import time

import pytest
from rich.console import Console

from hubwright.care.people import watch
from hubwright.care.people.apply import Result
from hubwright.care.people.step import Step
from hubwright.cli import apply, homes
from hubwright.errors import MachineError, printable
from hubwright.machine import disk
from hubwright.machine.mounts import mount_memory, unmount
from hubwright.people import archive, pack

MIB = 2**20
ESCAPE = "\x1b]0;owned\x07"
NAME = f"a{ESCAPE}\n2026-01-01 fake"


@pytest.fixture
def mounted(tmp_path):
    """A home with a file system mounted in it, whose name has what mountinfo escapes."""
    home = tmp_path / "home"
    inner = home / "a b\\c\n\t\u00e9"
    inner.mkdir(parents=True)
    (home / "mine").write_bytes(b"x" * MIB)
    if why := mount_memory(inner, size=4 * MIB, inodes=100, uid=os.getuid(), gid=os.getgid()):
        pytest.skip(f"cannot mount: {why}")
    try:
        (inner / "theirs").write_bytes(b"x" * 2 * MIB)
        yield home, inner
    finally:
        unmount(inner)


@pytest.fixture
def never(mounted, monkeypatch):
    """Fail when the mount point is looked at, as a dead file system would hold whoever does."""
    home, inner = mounted
    real = os.stat

    def stat(path, *more, **options):
        assert not (isinstance(path, str) and path.endswith(inner.name)), "the mount point was looked at"
        return real(path, *more, **options)

    monkeypatch.setattr(os, "stat", stat)
    return home, inner


@pytest.mark.root
def test_mounts_are_known_without_asking_them(mounted):
    home, inner = mounted
    assert disk.mounted_below(str(home)) == {str(inner)}
    assert disk.mounted_below(str(inner)) == set()
    assert disk.mounted_below(str(home)[:-1]) == set(), "a folder whose name only begins alike"
    assert str(inner) in disk.mounted_below("/")


@pytest.mark.root
def test_what_is_mounted_is_neither_counted_nor_packed_nor_emptied(never):
    home, inner = never
    taken, whole = disk.count(home, time.monotonic() + 30)
    assert whole and MIB <= taken < 2 * MIB
    progress, stream = pack.Progress(), io.BytesIO()
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with tarfile.open(fileobj=stream, mode="w|") as tar:
            pack.Packer(tar, 2**30, progress).pack(folder)
        assert progress.lost_count == 1 and progress.lost[0].endswith("is a mount point")
        stream.seek(0)
        with tarfile.open(fileobj=stream) as tar:
            assert tar.getnames() == ["mine"]
        gone = pack.Progress()
        pack.empty(folder, gone)
        assert gone.lost_count == 1
    finally:
        os.close(folder)
    assert [path.name for path in home.iterdir()] == [inner.name]
    assert (inner / "theirs").stat().st_size == 2 * MIB


def test_a_child_that_does_not_die_is_left(monkeypatch, tmp_path):
    """A stand-in for a process that waits for a dead file system: this one closes stderr and goes on."""
    monkeypatch.setattr(archive, "_DYING", 0.2)
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec 2>&-\nexec sleep 20\n")
    script.chmod(0o755)
    monkeypatch.setattr(archive.sys, "executable", str(script))
    made = []
    real = archive.subprocess.Popen
    monkeypatch.setattr(
        archive.subprocess, "Popen", lambda *words, **more: made.append(real(*words, **more)) or made[0]
    )
    began = time.monotonic()
    entry = archive.pwd.getpwuid(os.getuid())
    try:
        with pytest.raises(MachineError, match="has ended"):
            archive._run("create", entry, 1, lambda *_: None)
        assert time.monotonic() - began < 10
        assert made[0].poll() is None
    finally:
        made[0].kill()
        made[0].wait(10)


def test_names_of_files_cannot_speak_to_a_terminal():
    progress = pack.Progress()
    progress.lose(NAME + "\udcff\u202e", "is not readable")
    assert progress.lost == ["a?]0;owned??2026-01-01 fake??: is not readable"]
    assert printable("gr\u00fc\u00dfe, \u4f60\u597d") == "gr\u00fc\u00dfe, \u4f60\u597d"
    assert printable("a\nb\x1b", "\n  ") == "a\n  b?"


def test_neither_apply_nor_the_log_nor_homes_tells_them_raw(capsys):
    console = Console(file=io.StringIO(), width=200)
    step = Step("files", "remove", f"ada{ESCAPE}", f"archived{ESCAPE}")
    apply._tell(console, Result(step, error=NAME))
    told = console.file.getvalue()
    watch._say(NAME)
    with pytest.raises(homes.typer.Exit):
        row = {"name": "ada", "files": 1, "bytes": 1, "archive": "x", "error": "", "lost": [NAME], "lost_count": 1}
        homes._print([row, {"name": "ada", "error": NAME}], as_json=False)
    told += capsys.readouterr().out
    assert "\x1b" not in told and "\x07" not in told and told.count("?]0;owned?") == 6
    assert "\n2026-01-01" not in told, "no line of its own"
