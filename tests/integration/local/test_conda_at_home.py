"""linux-lab: a conda environment in somebody's home is a kernel of his with the engine local, without being registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import conda_home
from tests.conftest import Account
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
FIRST = (
    "import json, subprocess; print(json.dumps(subprocess.check_output('command -v python', shell=True, text=True)))"
)


@pytest.fixture(scope="module")
def channel() -> Iterator[Path]:
    """A channel in a folder that everybody may read."""
    with tempfile.TemporaryDirectory(prefix="hwt-", dir="/var/lib") as folder:
        os.chmod(folder, 0o755)
        yield conda_home.channel(Path(folder, "channel"))


def listed(notebook: Notebook) -> dict[str, str]:
    specs = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    return {name: one["spec"]["display_name"] for name, one in specs.items() if name.startswith("own-")}


def test_its_kernel_shows_by_its_folder_and_runs_a_cell_in_its_own_python(
    running: Service, notebook: Notebook, person: Account, channel: Path
) -> None:
    """Made while the server runs; where nobody looks but for conda's own list, and in a place of conda's."""
    prefix = conda_home.link(channel, person, ".conda/envs/Assay 7")
    aside = conda_home.link(channel, person, "work/2026/aside")
    (person.home / ".conda/environments.txt").write_text(f"{prefix}\n{aside}\n/opt/elsewhere\n")
    assert listed(notebook) == {
        "own-assay-7": "Assay 7 (~/.conda/envs/Assay 7)",
        "own-aside": "aside (~/work/2026/aside)",
    }
    run = [str(prefix / "bin/python"), "-c", conda_home.TELLS]
    outside = subprocess.run(run, user=person.uid, group=person.gid, cwd=person.home, capture_output=True, text=True)
    kernel = notebook.kernel("own-assay-7")
    assert kernel.value(conda_home.TELLS) == json.loads(outside.stdout) == conda_home.told(prefix)
    assert kernel.value("import json, os; print(json.dumps(os.environ['CONDA_PREFIX']))") == str(prefix)
    assert kernel.value(FIRST).strip() == f"{prefix}/bin/python", "also for programs that a cell starts"
    assert notebook.kernel("own-aside").value(conda_home.TELLS) == conda_home.told(aside)
    assert kernel.value("import json, os; print(json.dumps(os.getuid()))") == person.uid


def test_it_is_nobody_elses(running: Service, notebook: Notebook, ada: Account) -> None:
    assert listed(running.start(ada.name)) == {}


def test_what_is_installed_into_it_stays_there(notebook: Notebook, person: Account, channel: Path) -> None:
    """The environment is its owner's: a module that he puts there is there in the next kernel, and not in `python3`."""
    prefix = conda_home.link(channel, person, ".conda/envs/more")
    module = next(prefix.glob("lib/python3*/site-packages")) / "hwt_more.py"
    notebook.kernel("own-more").run(f"open({str(module)!r}, 'w').write('X = 1')")
    assert notebook.kernel("own-more").run("import hwt_more; print(hwt_more.X)") == "1\n"
    assert "ModuleNotFoundError" in notebook.kernel().run("import hwt_more")


def test_one_with_r_and_irkernel_is_rs_kernel(notebook: Notebook, person: Account) -> None:
    """Its R is the machine's here, by way of a script: what is looked at is where conda puts things."""
    kernel = Path("/usr/lib/R/site-library/IRkernel")
    if not kernel.exists():
        pytest.skip("needs R's kernel: ./test as root installs r-cran-irkernel")
    prefix = person.home / "micromamba/envs/stats"
    for folder in ("conda-meta", "bin", "lib/R/library"):
        (prefix / folder).mkdir(parents=True)
    program = prefix / "bin/R"
    program.write_text('#!/bin/sh\nexec /usr/bin/R "$@"\n')
    program.chmod(0o755)
    (prefix / "lib/R/library/IRkernel").symlink_to(kernel)
    subprocess.run(["chown", "-R", f"{person.uid}:{person.gid}", str(person.home / "micromamba")], check=True)
    assert listed(notebook)["own-stats"] == "stats (~/micromamba/envs/stats)"
    said = notebook.kernel("own-stats").run("cat(6 * 7, Sys.which('R'), Sys.getenv('CONDA_PREFIX'))")
    assert said == f"42 {prefix}/bin/R {prefix}"
    assert sys.prefix not in said
