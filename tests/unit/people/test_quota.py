"""Where quotas can be kept, by what the kernel says of the mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubwright.people import quota


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


def test_this_machines_mounts_are_understood():
    assert isinstance(quota.find(Path("/home")), str | quota.Mount)
