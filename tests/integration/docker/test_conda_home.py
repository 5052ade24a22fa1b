"""pharma-docker row 4: a conda environment in the home, with a Python of its own, works in the container as outside.

Its kernel shows by the name of its folder without having been registered, by what our image starts servers with.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import conda_home
from tests.conftest import Account
from tests.integration.docker.daemon import FOLDERS
from tests.running import Notebook, Service

import hubwright
from hubwright.engines.docker import enter

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder of root's with a channel, and with Hubwright, as our image holds it."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-conda-", dir="/var/lib"))
    folder.chmod(0o755)
    conda_home.channel(folder / "channel")
    source = Path(hubwright.__file__).parent
    shutil.copytree(source, folder / "hubwright", ignore=shutil.ignore_patterns("__pycache__"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], shared: Path) -> Service:
    entry = shared / "hubwright" / Path(enter.__file__).relative_to(Path(hubwright.__file__).parent)
    start = (
        f"import runpy, sys; sys.path.insert(1, {str(shared)!r}); runpy.run_path({str(entry)!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", start, "jupyterhub-singleuser"]
    volumes = [*FOLDERS, {"source": str(shared), "target": str(shared)}]
    return docker_service(command=command, volumes=volumes, memory="700M").up()


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
