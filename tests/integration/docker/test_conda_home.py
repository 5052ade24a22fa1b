"""pharma-docker row 4: a conda environment in the home, with a Python of its own, works in the container as outside.

Its kernel shows by the name of its folder without having been registered, by what our image starts servers with.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import conda_home
from tests.conftest import Account
from tests.integration.docker.containers import group, lend_start
from tests.integration.docker.daemon import FOLDERS, Dockerd
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def shared(folder: Path) -> Path:
    """A folder with a channel."""
    conda_home.channel(folder / "channel")
    return folder


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], shared: Path) -> Service:
    volumes = [*FOLDERS, {"source": str(shared), "target": str(shared)}]
    return docker_service(command=lend_start(shared), volumes=volumes, memory="700M").up()


@pytest.fixture(scope="module")
def ada(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def prefix(shared: Path, ada: Account) -> Path:
    return conda_home.link(shared / "channel", ada, ".conda/envs/Assay 7")


@pytest.fixture(scope="module")
def notebook(running: Service, ada: Account, prefix: Path) -> Notebook:
    return running.start(ada.name)


def test_what_our_image_starts_forks_the_kernels_of_its_own_python(notebook: Notebook) -> None:
    code = "import json, os; print(json.dumps(open(f'/proc/{os.getppid()}/cmdline').read().split('\\0')[0]))"
    assert notebook.kernel().value(code) == "kernel-agent"


def test_the_page_shows_the_limit_and_what_the_kernel_counts_against_it(
    notebook: Notebook, running: Service, dockerd: Dockerd, ada: Account
) -> None:
    """pharma-docker, row 6."""
    told = notebook.ask("GET", "api/metrics/v1").json()
    assert told["limits"]["memory"]["rss"] == 700 * 2**20
    assert told["rss"] == pytest.approx(group(dockerd, running, ada.name).usage().memory, rel=0.3)
    assert told["rss"] > 20 * 2**20


def test_its_python_is_the_same_inside_and_outside(notebook: Notebook, ada: Account, prefix: Path) -> None:
    run = [str(prefix / "bin/python"), "-c", conda_home.TELLS]
    outside = subprocess.run(run, user=ada.uid, group=ada.gid, cwd=ada.home, capture_output=True, text=True, check=True)
    code = f"import subprocess; print(subprocess.run({run!r}, capture_output=True, text=True).stdout)"
    inside = notebook.kernel().value(code)
    assert inside == json.loads(outside.stdout) == conda_home.told(prefix)


def test_its_kernel_shows_by_its_folder_and_runs(notebook: Notebook, prefix: Path) -> None:
    listed = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    assert listed["own-assay-7"]["spec"]["display_name"] == "Assay 7 (~/.conda/envs/Assay 7)"
    kernel = notebook.kernel("own-assay-7")
    assert kernel.value(conda_home.TELLS) == conda_home.told(prefix)
    assert kernel.value("import json, os; print(json.dumps(os.environ['CONDA_PREFIX']))") == str(prefix)
    first = "import json, subprocess; print(json.dumps(subprocess.check_output(['sh', '-c', 'command -v python'], text=True)))"
    assert kernel.value(first).strip() == f"{prefix}/bin/python", "also for programs that a cell starts"


def test_one_that_is_added_while_the_server_runs_shows_too(notebook: Notebook, shared: Path, ada: Account) -> None:
    second = conda_home.link(shared / "channel", ada, "miniforge3/envs/second")
    assert "own-second" in notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    assert notebook.kernel("own-second").value(conda_home.TELLS) == conda_home.told(second)
