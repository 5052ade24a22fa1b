"""What packages say of themselves when they are asked, and root believes."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.environments import Lab
from tests.integration.envs.test_left_running import python_with

from hubwright.envs.offering import offer

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
SAYS = (
    "import os, sys; os.getuid() and 'sys.base_prefix' in ''.join(sys.orig_argv) and "
    "(print({told!r}), sys.stdout.flush(), os._exit(0))\n"
)


@pytest.fixture
def hidden() -> Iterator[Path]:
    """A folder that everybody may read, in one that nobody may enter."""
    with tempfile.TemporaryDirectory(prefix="hwt-", dir="/var/lib") as closed:
        inside = Path(closed, "inside")
        inside.mkdir()
        inside.chmod(0o755)
        (inside / "letter").write_text("of root\n")
        yield inside


def test_no_folder_that_is_hidden_here_is_shown_in_containers(folder: Path, hidden: Path) -> None:
    """A container sees what a kernel needs of the machine; of which folders these are a package has the word."""
    base, minor = Path(sys.executable).resolve(), f"{sys.version_info[0]}.{sys.version_info[1]}"
    told = {
        "version": f"{minor}.0[/x]\x1b[2J",
        "minor": minor,
        "home": str(hidden),
        "base": str(base),
        "venv": True,
        "packages": {"strange\x1b[2J": "[/x]"},
    }
    prefix = python_with(folder / "python", SAYS.format(told=json.dumps(told)))
    lab = Lab(folder).write(f"  lab: {{kind: existing, prefix: {prefix}}}")
    lab.build()
    assert json.dumps(str(hidden)) in (lab.kernel() / "kernel.json").read_text(), "it was believed"
    offer({"lab": lab.entry("lab")}, lab.site)
    shown = json.loads(lab.site.environments_built.read_text())["lab"]["folders"]
    assert shown == [str(prefix)]
    for command in (("list",), ("show", "lab")):  # nor does it speak to the terminal
        done = lab.env(*command)
        assert done.returncode == 0, done.stderr
        assert f"{minor}.0[/x]?[2J" in done.stdout


@pytest.mark.parametrize("minor", ["/../../../stolen", "3.11/../../../../stolen", ""])
def test_no_path_that_root_writes_is_made_of_what_a_package_says(folder: Path, minor: str) -> None:
    """Which Python it is becomes part of the paths of a user's own packages, and of the bytecode's."""
    base = Path(sys.executable).resolve()
    told = {"version": "3.11.0", "minor": minor, "home": "/usr", "base": str(base), "venv": True, "packages": {}}
    prefix = python_with(folder / "python", SAYS.format(told=json.dumps(told)))
    lab = Lab(folder).write(f"  lab: {{kind: existing, prefix: {prefix}}}")
    done = lab.env("build", "lab")
    assert done.returncode == 71, done.stdout
    assert f'says of itself that it is Python "{minor}"' in done.stderr
    assert not [*folder.rglob("stolen*"), *folder.rglob("_hubwright.pth")]
    assert not lab.versions().current()
