"""Where quotas can be kept, by what the kernel says of the mounts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from hubwright.errors import MachineError
from hubwright.people import projects, quota


@pytest.fixture
def mounts(tmp_path):
    number = os.stat(tmp_path).st_dev

    def line(options):
        return f"36 35 {os.major(number)}:{os.minor(number)} / /home rw,noatime shared:1 - ext4 /dev/vdb {options}\n"

    return line


@pytest.mark.parametrize("options", ["rw", "rw,errors=remount-ro", "rw,noquota,grpquota", "rw,prjquota"])
def test_without_quotas_of_users_it_says_so(tmp_path, mounts, options):
    found = quota.find(tmp_path, "1 1 0:1 / / rw - tmpfs none rw\n" + mounts(options))
    assert isinstance(found, str) and "without quotas" in found


@pytest.mark.parametrize(
    "options", ["rw,usrquota", "rw,quota,usrquota", "rw,usrjquota=aquota.user,jqfmt=vfsv1", "uquota"]
)
def test_with_quotas_it_names_the_file_system_or_the_missing_tools(tmp_path, mounts, monkeypatch, options):
    """With tools of its own: those of this machine are there, or not, for all tests."""
    monkeypatch.setattr(quota, "SETQUOTA", str(tmp_path / "setquota"))
    monkeypatch.setattr(quota, "QUOTA", str(tmp_path / "quota"))
    told = quota.find(tmp_path, mounts(options))
    assert isinstance(told, str) and "apt install quota" in told
    for name in ("setquota", "quota"):
        Path(tmp_path, name).touch()
    assert quota.find(tmp_path, mounts(options)) == quota.Mount("/dev/vdb", "/home")


@pytest.mark.parametrize("options", ["rw", "rw,usrquota", "rw,pqnoenforce", "rw,noprjquota"])
def test_without_quotas_of_projects_it_says_so(tmp_path, mounts, options):
    found = quota.find(tmp_path, mounts(options), "project")
    assert isinstance(found, str) and "(ext4) is mounted without quotas of projects" in found


@pytest.mark.parametrize("options", ["rw,prjquota", "rw,usrquota,prjquota", "rw,pquota"])
def test_a_folder_that_is_to_be_made_is_where_its_parents_are(tmp_path, mounts, monkeypatch, options):
    monkeypatch.setattr(quota, "SETQUOTA", "/bin/sh")
    monkeypatch.setattr(quota, "QUOTA", "/bin/sh")
    assert quota.find(tmp_path / "later" / "still", mounts(options), "project") == quota.Mount("/dev/vdb", "/home")


def test_a_file_system_without_projects_is_told_apart():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        assert projects.project_of(folder) == projects.own_project(folder) == 0
        with pytest.raises(MachineError, match="cannot be counted as a whole"):
            projects.mark(folder, projects.NUMBERS[0])


def test_this_machines_mounts_are_understood():
    assert isinstance(quota.find(Path("/home")), str | quota.Mount)
