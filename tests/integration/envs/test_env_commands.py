"""`hubwright env` where it cannot do what it is asked: it says so in words, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account
from tests.environments import Lab

from hubwright.envs import offering
from hubwright.errors import Problem

pytestmark = [pytest.mark.root, pytest.mark.timeout(200)]
ENTRY = "  lab: {kind: uv, packages: [six]}"
COMMANDS = (["list"], ["show", "lab"], ["build"], ["add", "lab", "six"], ["remove", "lab", "--yes"], ["lock", "lab"])


@pytest.mark.parametrize("words", [*COMMANDS, ["rollback", "lab"], ["clean"]])
@pytest.mark.parametrize("started", [True, False])
def test_environments_of_roots_are_refused_to_others(
    folder: Path, account: Callable[..., Account], words: list[str], started: bool
) -> None:
    lab = Lab(folder).write(ENTRY)
    if started:
        (folder / ".hubwright").mkdir(mode=0o700)
    done = account().run(lab.command(*words), Path("/"))
    assert done.returncode == 77, done.stdout + done.stderr
    assert done.stderr == "error: Shared environments are root's.\n  Run it as root: sudo hubwright env ...\n"


@pytest.mark.parametrize("words", COMMANDS[:3])
def test_in_ones_server_there_is_told_what_one_has(
    folder: Path, account: Callable[..., Account], words: list[str]
) -> None:
    somebody = account()
    inside = {"JUPYTERHUB_API_URL": "http+unix://%2frun%2fapi.sock:80/hub/api", "JUPYTERHUB_API_TOKEN": "of-the-server"}
    done = somebody.run([Lab(folder).command()[0], "env", *words], somebody.home, **inside)
    assert done.returncode == 77, done.stdout + done.stderr
    assert "Shared environments are the administrator's" in done.stderr
    assert "jupyter kernelspec list" in done.stderr
    assert not (somebody.home / ".hubwright").exists()


def test_what_is_being_built_is_not_removed(folder: Path) -> None:
    lab = Lab(folder).write(ENTRY)
    with lab.versions().lock():
        done = lab.env("remove", "lab", "--yes")
    assert done.returncode == 77
    assert "lab is just being built" in done.stderr
    assert (folder / "hub.yaml").read_text() == lab.yaml


def test_packages_that_do_not_work_leave_hub_yaml_and_the_lock(folder: Path) -> None:
    wheels.write(folder / "wheels", "hwt_low")
    wheels.write(folder / "wheels", "hwt_broken", files={"hwt_broken.py": "raise RuntimeError('out of order')\n"})
    lab = Lab(folder).write(
        "  lab: {kind: uv, packages: [hwt-low], index: 'https://pypi.org/simple', find_links: wheels}"
    )
    assert lab.env("lock", "lab").returncode == 0
    lock = (folder / "lab.lock").read_text()
    done = lab.env("add", "lab", "hwt-broken")
    assert done.returncode == 71
    assert "out of order" in done.stderr
    assert ((folder / "hub.yaml").read_text(), (folder / "lab.lock").read_text()) == (lab.yaml, lock)
    assert sorted(path.name for path in folder.iterdir()) == ["hub.yaml", "lab.lock", "wheels"]


def test_a_lock_of_other_packages_is_told_with_what_mends_it(folder: Path) -> None:
    wheels.write(folder / "wheels", "hwt_low")
    entry = "  lab: {kind: uv, packages: [hwt-low], index: 'https://pypi.org/simple', find_links: wheels}"
    lab = Lab(folder).write(entry)
    lab.build()
    lock = folder / "lab.lock"
    lock.write_text("# hubwright: of others\n")
    what = "lab.lock was made of other packages than hub.yaml names now."
    remedy = f'Make it anew: "hubwright env lock lab"; or remove {lock}.'
    assert list(offering.check({"lab": lab.entry("lab")}, lab.site)) == [
        Problem("hub.yaml environments.lab", what, remedy, "warning")
    ]
    assert offering.to_build({"lab": lab.entry("lab")}, lab.site) == [f"The environment lab: {what} {remedy}"]
    assert what in lab.env("list").stdout
    assert lab.env("build", "lab").stderr == f"error: environments.lab: {what}\n  {remedy}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Lab 2", "six"], '/hub.yaml environments.Lab 2: is not the name of an environment: "Lab 2".'),
        (["new", "six", "--kind", "condo"], 'lists.\n  Perhaps you meant "conda"?\n'),
        (["new", "six", "--kind", "existing"], "There are: conda, julia, r, uv."),
        (["lab", "dplyr", "--kind", "r"], "error: lab is of kind uv."),
    ],
)
def test_what_cannot_be_added_is_told(folder: Path, words: list[str], told: str) -> None:
    lab = Lab(folder).write(ENTRY)
    done = lab.env("add", *words)
    assert done.returncode in {77, 78}
    assert told in done.stderr
    assert (folder / "hub.yaml").read_text() == lab.yaml
