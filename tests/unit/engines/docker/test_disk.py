"""Which storage of Docker's can hold a container's disk to a size, by what Docker and the kernel say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engines.docker.test_container import BASE

from hubwright.engines.docker import disk

MOUNTS = """21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 254:16 / /data rw,relatime - xfs /dev/vdb rw,attr2,{options}
31 21 254:32 / /data/other rw - xfs /dev/vdc rw,prjquota
"""


def told(driver: str, backing: str = "", root: str = "/data/docker", options: str = "noquota") -> str:
    status = [["Backing Filesystem", backing], ["Supports d_type", "true"]]
    info = {"Driver": driver, "DriverStatus": status, "DockerRootDir": root}
    return disk.reason(info, MOUNTS.format(options=options))


@pytest.mark.parametrize("options", ["prjquota", "usrquota,pquota"])
def test_xfs_with_project_quotas_btrfs_and_zfs_can(options: str) -> None:
    assert told("overlay2", "xfs", options=options) == ""
    assert told("btrfs") == told("zfs") == ""


def test_others_cannot_and_it_is_said_why() -> None:
    assert "(overlay2 on extfs) cannot limit" in told("overlay2", "extfs")
    assert "(overlayfs on unknown) cannot limit" in disk.reason({"Driver": "overlayfs", "DriverStatus": None}, "")
    assert "XFS file system of /data/docker is mounted without project quotas" in told("overlay2", "xfs")
    assert "of /database" in told("overlay2", "xfs", "/database")


def test_docker_is_told_the_size() -> None:
    assert replace(BASE, disk=2**30).as_api()["HostConfig"]["StorageOpt"] == {"size": "1073741824"}
    assert "StorageOpt" not in BASE.as_api()["HostConfig"]
