"""An environment of `kind: uv` whose packages a file of requirements names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests import wheels
from tests.environments import Lab

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
LAB = """\
  lab:
    kind: uv
    requirements: course.txt
    index: https://pypi.org/simple
    find_links: wheels
    imports: [hwt_alpha, hwt_beta]
"""


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    """One with a folder of packages, and a file that names one of them and what another needs."""
    for version in ("1.0", "2.0"):
        wheels.write(lab.folder / "wheels", "hwt_alpha", version, needs=["hwt-beta"])
    wheels.write(lab.folder / "wheels", "hwt_beta")
    (lab.folder / "course.txt").write_text("# for the course\nhwt-alpha==1.0\n")
    return lab.write(LAB)


def row(lab: Lab) -> dict[str, Any]:
    (found,) = [one for one in json.loads(lab.env("list", "--json").stdout) if one["name"] == "lab"]
    return dict(found)


def test_it_is_built_of_the_file_and_a_change_of_the_file_makes_the_next_version(built: Lab) -> None:
    first = built.current()
    assert (first.packages["hwt-alpha"], first.packages["hwt-beta"]) == ("1.0", "1.0")
    assert row(built)["state"] == ""
    (built.folder / "course.txt").write_text("hwt-alpha==2.0\n")
    assert row(built)["state"] == "has changed since it was built."
    assert "has changed since it was built" in built.env("list").stdout
    done = built.env("build")
    assert done.returncode == 0, done.stderr
    second = built.current()
    assert (second.number, second.packages["hwt-alpha"]) == (first.number + 1, "2.0")
    assert row(built)["state"] == ""


def test_a_file_that_is_gone_is_told_and_what_serves_stays(built: Lab) -> None:
    path, before = built.folder / "course.txt", built.current()
    path.rename(built.folder / "away.txt")
    done = built.env("build", "lab")
    listed = built.env("list")
    (built.folder / "away.txt").rename(path)
    assert done.returncode == 78
    what = f"environments.lab.requirements: {path} cannot be read: No such file or directory."
    assert what in done.stderr
    assert what in " ".join(listed.stdout.split())
    assert "Traceback" not in done.stderr + listed.stderr
    assert built.current() == before


def test_what_the_file_names_and_nobody_has_is_told(built: Lab) -> None:
    path, before = built.folder / "course.txt", built.current()
    text = path.read_text()
    path.write_text("hwt-alpha==3.0\n")
    done = built.env("build", "lab")
    path.write_text(text)
    assert done.returncode == 71
    assert "hwt-alpha==3.0" in done.stderr
    assert built.current() == before
