"""Builds of an ordinary user's service: what works, and what permissions keep it from reading, in sentences."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests import conda_channel, r_repository, wheels
from tests.conda_channel import module
from tests.conftest import Account
from tests.running import Service, port

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  chem: {kind: conda, channels: [./channel], packages: [alpha]}
  lab: {kind: uv, packages: [omega], find_links: ./wheels, index: "https://pypi.org/simple"}
  stats: {kind: r, repository: ./cran, packages: [low]}
"""


@pytest.fixture(scope="module")
def running(module_account: Callable[..., Account]) -> Iterator[Service]:
    """A service in somebody's home that has built all three at its start; what they are of is root's."""
    person = module_account()
    folder = person.home / "service"
    folder.mkdir()
    conda_channel.base(folder / "channel")
    conda_channel.write(folder / "channel", module("alpha"))
    wheels.write(folder / "wheels", "omega")
    r_repository.write(folder / "cran", ("low", "1.0", r_repository.archive("low", "1.0")))
    os.chown(folder, person.uid, person.gid)
    number = port()
    one = Service(folder, YAML.replace("{port}", str(number)), number, person)
    yield one.up(wait=300)
    one.clean()


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """Keep everybody but root out of a file or folder."""
    before = path.stat().st_mode
    path.chmod(0o700)
    try:
        yield
    finally:
        path.chmod(before)


CELLS = {
    "chem": ("import alpha; print(alpha.__version__)", "1.0\n"),
    "lab": ("import omega; print(omega.__version__)", "1.0\n"),
    "stats": ("cat(low::low_version())", "1.0"),
}


def test_its_user_builds_each_kind_and_runs_it(running):
    for name, (code, says) in CELLS.items():
        done = running.cli("env", "build", name, check=False)
        assert done.returncode == 0, done.stderr
        assert running.opened(running.account.name).kernel(name).run(code) == says


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("chem", "channel"),
        ("chem", "channel/noarch/repodata.json"),
        ("chem", "channel/noarch/alpha-1.0-0.tar.bz2"),
        ("lab", "wheels"),
        ("lab", "wheels/omega-1.0-py3-none-any.whl"),
        ("stats", "cran"),
        ("stats", "cran/src/contrib/PACKAGES.gz"),
        ("stats", "cran/src/contrib/low_1.0.tar.gz"),
    ],
)
def test_what_may_not_be_read_is_a_sentence_and_the_old_version_serves(running, name, path):
    """Whether it is the folder that hub.yaml names, one in it, its index, or a package."""
    versions = running.state / "envs" / name / "versions"
    before = (versions.parent / "current").readlink(), {one.name for one in versions.iterdir()}
    if name == "stats":
        # what has the index's checksum is taken from there
        shutil.rmtree(versions.parents[1] / ".cache" / "r", ignore_errors=True)
    with closed(running.folder / path):
        done = running.cli("env", "build", name, check=False)
    assert done.returncode != 0
    where = running.folder / path if name != "stats" else running.folder / "cran"
    assert f"{where}" in done.stderr
    assert "ermission denied" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert ((versions.parent / "current").readlink(), {one.name for one in versions.iterdir()}) == before
    code, says = CELLS[name]
    assert running.opened(running.account.name).kernel(name).run(code) == says
