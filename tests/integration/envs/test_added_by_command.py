"""The commands that docs/environments.md shows add and take back packages and environments, of R too."""

from __future__ import annotations

import json
import os
import sys

import pytest
from tests import r_repository
from tests.environments import Lab
from tests.r_repository import archive

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    packages = [(name, "1.0", archive(name, "1.0")) for name in ("low", "high")]
    r_repository.write(lab.folder / "cran", *packages)
    return lab.write("  lab: {kind: r, repository: ./cran, packages: [low]}")


def does(lab: Lab, *words: str, code: int = 0) -> str:
    done = lab.env(*words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def installed(lab: Lab, name: str) -> list[str]:
    return list(json.loads(does(lab, "show", name, "--json"))["installed"])


def test_a_package_of_r_comes_and_goes(built):
    does(built, "add", "lab", "high")
    assert {"low", "high"} <= {*installed(built, "lab")}
    does(built, "remove", "lab", "high")
    assert "high" not in installed(built, "lab")
    assert "high" not in (built.folder / "hub.yaml").read_text()


def test_an_environment_of_a_named_python_comes_and_goes(built, monkeypatch, tmp_path):
    """Root's own ones, which nobody else can run, are neither taken nor run, though his PATH has them first."""
    version = "{}.{}".format(*sys.version_info)
    for folder, mode in ((tmp_path / "closed", 0o700), (tmp_path / "open", 0o777)):
        program, mark = folder / f"python{version}", folder / "was-run"
        folder.mkdir()
        program.write_text(f'#!/bin/sh\n: > {mark}\nexec {sys.executable} "$@"\n')
        program.chmod(0o755)
        folder.chmod(mode)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    does(built, "add", "old-toolz", "toolz<1", "--python", version)
    assert "toolz" in installed(built, "old-toolz")
    assert json.loads(does(built, "show", "old-toolz", "--json"))["language"].startswith(f"{version}.")
    assert not [*tmp_path.glob("*/was-run")]
    does(built, "remove", "old-toolz", "--yes")
    assert "old-toolz" not in (built.folder / "hub.yaml").read_text()


def test_one_of_r_whose_package_cannot_be_had_leaves_hub_yaml_as_it_was(built):
    before = (built.folder / "hub.yaml").read_text()
    does(built, "add", "statistics", "nosuchpackageofhubwright", "--kind", "r", code=71)
    assert (built.folder / "hub.yaml").read_text() == before
