"""A lock file makes two machines equal: hub.yaml, the lock and the packages are copied, and built elsewhere.

Meanwhile a newer version of what a package needs has come out.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import r_repository, wheels
from tests.environments import Lab
from tests.r_repository import archive

from hubwright.machine.place import place

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]
PYTHON = "  lab: {kind: uv, packages: [hwt-top], index: 'https://pypi.org/simple', find_links: wheels}"
R = "  lab: {kind: r, repository: ./cran, packages: [top]}"
NEEDS = {"top": "low (>= 1.0)"}


@pytest.fixture
def machines() -> Iterator[list[Lab]]:
    """Two folders, each with environments of its own and nothing in common."""
    made = [Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib")) for _ in range(2)]
    for folder in made:
        folder.chmod(0o755)
    yield [Lab(folder) for folder in made]
    for folder in made:
        shutil.rmtree(place("127.0.0.1:8000", None, folder / "hub.yaml", None).environments, ignore_errors=True)
        shutil.rmtree(folder)


def build(lab: Lab) -> dict[str, str]:
    """Build it by the command; return what it has now."""
    done = lab.env("build", "lab")
    assert done.returncode == 0, done.stderr
    return dict(lab.current().packages)


def moved(here: Lab, there: Lab) -> Lab:
    """Copy all that lies beside hub.yaml to the other machine."""
    shutil.copytree(here.folder, there.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state"))
    there.yaml = here.yaml
    return there


def test_packages_of_python_are_exactly_the_locked_ones(machines: list[Lab]) -> None:
    here, there = machines
    wheels.write(here.folder / "wheels", "hwt_top", needs=["hwt-low"])
    wheels.write(here.folder / "wheels", "hwt_low", "1.0")
    assert here.write(PYTHON).env("lock", "lab").returncode == 0
    lock = here.folder / "lab.lock"
    wheels.write(here.folder / "wheels", "hwt_low", "2.0")
    found = build(moved(here, there))
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))
    assert {name.lower().replace("_", "-"): version for name, version in found.items()} == locked
    assert (locked["hwt-top"], locked["hwt-low"]) == ("1.0", "1.0")
    lock.unlink()
    assert build(here)["hwt-low"] == "2.0", "without the lock it is the newest"


def test_packages_of_r_are_exactly_the_locked_ones(machines: list[Lab]) -> None:
    here, there = machines
    top = archive("top", "1.0", "top_of <- function() low::low_version()\n", Imports=NEEDS["top"])
    packages = [("low", "1.0", archive("low", "1.0")), ("top", "1.0", top)]
    r_repository.write(here.folder / "cran", *packages, needs=NEEDS)
    assert here.write(R).env("lock", "lab").returncode == 0
    lock = here.folder / "lab.lock"
    r_repository.write(here.folder / "cran", ("low", "1.1", archive("low", "1.1")), needs=NEEDS)
    build(moved(here, there))
    locked = {name: one["Version"] for name, one in json.loads(lock.read_text().partition("\n")[2])["Packages"].items()}
    installed = {path.name: version_in(path) for path in Path(there.current().prefix).iterdir()}
    assert installed == locked == {"low": "1.0", "top": "1.0"}
    lock.unlink()
    assert build(here)["low"] == "1.1", "without the lock it is the newest"


def version_in(package: Path) -> str:
    """Return the version that an installed package of R says it is."""
    found = re.search(r"^Version: (.+)$", (package / "DESCRIPTION").read_text(), re.MULTILINE)
    assert found
    return found[1]
