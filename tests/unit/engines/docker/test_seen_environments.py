"""What a container sees of shared environments, as far as no Docker is needed for it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hubwright.engines.docker.container import Mount
from hubwright.engines.docker.environments import KERNELS, Seen, Served, beside, kernels, served, variables
from hubwright.engines.docker.place import Place
from hubwright.envs import irkernel, kernelspec, python
from hubwright.envs.offering import offer
from hubwright.fields import Site
from hubwright.machine.place import place

OPEN = Served("science", "science", "Science", 3, "2030-01-01", None, ())
CLOSED = replace(OPEN, name="default", called="python3", display="Course", groups=(7, 8))
WHY = "there is no /usr/bin/python3.13"
BROKEN = f"Course: broken, this image cannot run it: {WHY}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return replace(place("127.0.0.1:8000", None, None, tmp_path / "state"), privileged=False)


def test_without_environments_nothing_changes(site: Site) -> None:
    offer({}, site)
    assert served(site) == () and variables(Seen(), site, "/opt/data") == {}


def test_what_does_not_work_is_broken_for_those_who_may_see_it(site: Site) -> None:
    seen = Seen((OPEN, CLOSED), (), {"default": WHY})
    where = str(site.environments / "science/current/kernel")
    assert dict(kernels(seen, site, [5])) == {"science": where}
    found = dict(kernels(seen, site, [5, 8]))
    assert found["science"] == where
    assert isinstance(broken := found["python3"], dict) and broken["display_name"] == BROKEN
    told = variables(seen, site, "/opt/data")
    assert told["JUPYTER_PATH"] == f"{KERNELS}:/opt/data"
    assert json.loads(told["HUBWRIGHT_UNUSABLE"]) == {"default": [3, f"this image cannot run it: {WHY}"]}


def test_jupyter_finds_them_in_the_servers_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    science = tmp_path / "science"
    kernelspec.write(science, "#!/bin/sh\n", {"argv": ["x"], "display_name": "Science", "language": "python"}, [])
    made = Place(tmp_path / "place")
    broken = {"argv": ["/bin/false"], "display_name": BROKEN, "language": "python"}
    made.make("", "", [("science", str(science)), ("later", str(tmp_path / "none")), ("python3", broken)])
    monkeypatch.setenv("JUPYTER_PATH", str(made.jupyter))
    found = {name: one["spec"]["display_name"] for name, one in KernelSpecManager().get_all_specs().items()}
    assert (found["science"], found["python3"]) == ("Science", BROKEN) and "later" not in found


def test_a_volume_of_hub_yaml_stands_before_what_lies_below_it() -> None:
    science, other = Mount("/opt/a/b", "/opt/a/b"), Mount("/opt/ab", "/opt/ab")
    assert list(beside([Mount("/srv", "/opt/a"), Mount("/x", "/opt/ab/c")], [science, other])) == [other]


@pytest.mark.parametrize("kind", ["python", "R"])
def test_a_starting_script_tells_that_its_program_is_not_there(kind: str, tmp_path: Path) -> None:
    folder, current = tmp_path / "versions/1/kernel", tmp_path / "current/kernel"
    folder.parent.mkdir(parents=True)
    program = tmp_path / "no such/bin/it's"
    if kind == "R":
        irkernel.write_kernel(folder, current, "x", "X", program, irkernel.R("4.2.2", (), {}))
    else:
        found = python.Interpreter("3.13.1", "3.13", str(program), program.parent.parent, {})
        python.write_kernel(folder, current, "x", "X", folder.parent / "prefix", found)
    done = subprocess.run(
        [str(folder / "launch"), "--try"], capture_output=True, text=True, env={"HOME": "/nonexistent"}
    )
    assert (done.returncode, done.stderr) == (1, f"there is no {program}\n")
    assert str(program.parent.parent) in kernelspec.outside(folder)
