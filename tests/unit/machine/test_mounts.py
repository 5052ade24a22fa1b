"""A folder with a size of its own."""

import os
import stat
import subprocess
import sys

import pytest

from hubwright.machine.mounts import may_part, mount_memory, unmount

pytestmark = pytest.mark.root


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "r"
    made.mkdir()
    yield made
    unmount(made)


def test_it_holds_so_much_and_so_many_and_belongs_to_one(folder):
    assert mount_memory(folder, size=2**20, inodes=20, uid=1234, gid=2345) == ""
    found = folder.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o700)
    with pytest.raises(OSError, match="No space"), (folder / "large").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    assert (folder / "large").stat().st_size <= 2**20
    (folder / "large").unlink()
    with pytest.raises(OSError, match="No space"):
        for number in range(30):
            (folder / str(number)).mkdir()


def test_it_goes_also_while_it_is_used_and_where_it_is_there_twice(folder):
    for _ in range(2):
        assert mount_memory(folder, size=2**20, inodes=20, uid=0, gid=0) == ""
    with (folder / "open").open("w"):
        unmount(folder)
        assert not os.path.ismount(folder)
    folder.rmdir()
    folder.mkdir()


def test_what_is_no_mount_is_left_alone(folder, tmp_path):
    (folder / "kept").write_text("x")
    unmount(folder)
    (tmp_path / "link").symlink_to("/proc")
    unmount(tmp_path / "link")
    assert (folder / "kept").exists() and os.path.ismount("/proc")


def test_why_it_cannot_be_done_is_told(tmp_path):
    assert mount_memory(tmp_path / "missing", size=1, inodes=1, uid=0, gid=0) == "No such file or directory"


def test_a_device_is_forbidden_to_one_process_and_what_it_starts():
    forbid = "mounts.part(); mounts.forbid_device(Path('/dev/full')); subprocess.run(['cat', '/dev/full'])"
    code = f"import subprocess; from pathlib import Path; from hubwright.machine import mounts; {forbid}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "/dev/full: Permission denied" in done.stderr, "also for root"
    assert done.returncode == 0
    with open("/dev/full", "rb") as file:
        assert file.read(1) == b"\0"
    assert may_part() == ""
