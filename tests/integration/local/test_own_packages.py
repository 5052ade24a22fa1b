"""What somebody installs on top of Hubwright's own environment is his alone, and seen by every kernel of his."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account
from tests.running import PREFIX, Kernel, Notebook, Service

from hubwright.envs.own import kernel as own

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 1G, processes: 400}
environments: {default: {preload: [numpy]}}
"""
SPACE = f".local/share/hubwright/environments/default-{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = f"{SPACE}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    return service(YAML).up()


@pytest.fixture
def who(account: Callable[..., Account]) -> Account:
    return account()


@pytest.fixture
def notebook(running: Service, who: Account) -> Notebook:
    return running.start(who.name)


@pytest.fixture
def wheel(running: Service) -> Path:
    return wheels.write(running.folder / "wheels", "hwt_tau", files={"hwt_tau.py": "DIGITS = 6.28\n"})


def is_forked(kernel: Kernel) -> bool:
    pid = int(kernel.run("import os; print(os.getpid())"))
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"kernel ")


def put(who: Account, name: str, text: str) -> None:
    """Put a module among somebody's own packages."""
    path = who.home / PACKAGES / name
    path.write_text(text)
    os.chown(path, who.uid, who.gid)


def test_pip_installs_for_oneself_and_at_once(running, notebook, who, wheel, ada):
    """In the kernel that installs it, in the next one, which is forked, and in nobody else's."""
    kernel = notebook.kernel()
    said = kernel.run(f"%pip install --no-index {wheel}")
    assert "Successfully installed hwt-tau-1.0" in said
    assert kernel.run("import hwt_tau; print(hwt_tau.DIGITS)") == "6.28\n"
    assert (who.home / PACKAGES / "hwt_tau.py").exists()
    assert not [*PREFIX.rglob("hwt_tau*")]
    second = notebook.kernel()
    assert is_forked(second)
    assert second.run("import hwt_tau, numpy; print(hwt_tau.__file__)") == f"{who.home}/{PACKAGES}/hwt_tau.py\n"
    assert "ModuleNotFoundError" in running.start(ada.name).kernel().run("import hwt_tau")


def test_what_a_cell_runs_is_the_same_python(notebook, who, wheel):
    """`!pip`, `!python`, and what it lists."""
    kernel = notebook.kernel()
    assert "Successfully installed hwt-tau-1.0" in kernel.run(f"!pip install --no-index {wheel}")
    assert "6.28" in kernel.run("!python -c 'import hwt_tau; print(hwt_tau.DIGITS)'")
    listed = kernel.run("%pip list")
    assert "hwt-tau" in listed
    assert "numpy" in listed
    assert "Successfully uninstalled hwt-tau-1.0" in kernel.run("%pip uninstall --yes hwt-tau")
    assert "ModuleNotFoundError" in notebook.kernel().run("import hwt_tau")


def test_what_is_shared_is_not_taken_away(notebook):
    said = notebook.kernel().run("%pip uninstall --yes numpy")
    assert "outside environment" in said
    assert notebook.kernel().run("import numpy; print(numpy.ones(2).sum())") == "2.0\n"


def test_a_package_that_was_imported_before_the_fork_is_ones_own(notebook, who, running):
    """Such a kernel is executed; without it the next is forked again."""
    assert is_forked(notebook.kernel())
    other = wheels.write(running.folder / "wheels", "numpy", "99.0")
    kernel = notebook.kernel()
    assert "Successfully installed numpy-99.0" in kernel.run(f"%pip install --no-index {other}")
    second = notebook.kernel()
    assert second.run("import numpy; print(numpy.__version__)") == "99.0\n"
    assert not is_forked(second)
    assert "Successfully uninstalled numpy-99.0" in second.run("%pip uninstall --yes numpy")
    assert is_forked(notebook.kernel())


def test_what_runs_at_the_start_of_python_runs(notebook, who):
    notebook.kernel()
    put(who, "hwt_start.pth", "import os; os.environ['HWT_TOLD'] = 'yes'\n")
    assert notebook.kernel().run("import os; print(os.environ['HWT_TOLD'])") == "yes\n"


def test_a_kernel_that_ones_own_packages_break_says_which_and_the_server_runs(notebook, who):
    notebook.kernel()
    put(who, "hwt_end.pth", "import os; os.write(2, b'ValueError: hwt\\n'); os._exit(1)\n")
    answer = notebook.ask("POST", "api/kernels", {"name": "python3"})
    assert answer.status_code == 500
    assert "It said: ValueError: hwt." in answer.json()["message"]
    assert f"~/{PACKAGES}" in answer.json()["message"]
    assert notebook.ask("GET", "api/status").status_code == 200
    (who.home / SPACE).rename(who.home / "away")
    assert notebook.kernel().run("6 * 7") == "42"


def test_where_the_home_takes_nothing_kernels_start_and_pip_says_why(notebook, who, wheel):
    share = who.home / ".local" / "share"
    share.mkdir(parents=True)
    os.chown(share, 0, 0)
    kernel = notebook.kernel()
    assert is_forked(kernel)
    assert kernel.run("import sys; print(sys.prefix)") == f"{PREFIX}\n"
    said = kernel.run(f"%pip install --no-index {wheel}")
    assert "Permission denied" in said
    assert str(who.home) in said


def test_what_a_power_cut_has_left_of_the_kernel_is_made_anew(running, notebook):
    """Also where what was to say so is gone, or what it says of another Python."""
    folder = running.environments / ".own"
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_symlink()}
    own.keep(folder)
    whole = {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_symlink()}
    assert {path: when for path, when in whole.items() if path != folder} == before, "what is whole is let be"
    script = (folder / "current").resolve() / "kernel" / "launch"
    text = script.read_text()
    script.write_text(text[:100])
    (folder / "older").mkdir()
    own.keep(folder)
    assert script.read_text() == text
    (folder / "current" / "digest").write_bytes(b"")
    script.unlink()
    own.keep(folder)
    assert script.read_text() == text
    assert {path.name for path in folder.iterdir()} == {"current", script.parent.parent.name}
    assert is_forked(notebook.kernel())


@pytest.mark.parametrize("damage", ["rm -r {0}/lib/python*/site-packages/*", "rm -r {0}/lib", "rm {0}/bin/python"])
def test_a_space_that_somebody_has_damaged_is_mended(notebook, who, wheel, damage):
    notebook.kernel()
    subprocess.run(["sh", "-c", damage.format(who.home / SPACE)], check=True)
    kernel = notebook.kernel()
    assert is_forked(kernel)
    assert "Successfully installed hwt-tau-1.0" in kernel.run(f"%pip install --no-index {wheel}")


@pytest.mark.parametrize("place", ["lib", PACKAGES.removeprefix(f"{SPACE}/")])
def test_a_folder_of_roots_in_it_is_left_out(notebook, who, place):
    """As `sudo pip` leaves one."""
    notebook.kernel()
    os.chown(who.home / SPACE / place, 0, 0)
    (who.home / SPACE / place).chmod(0o700)
    kernel = notebook.kernel()
    assert is_forked(kernel)
    assert kernel.run("import numpy, sys; print(sys.prefix)") == f"{PREFIX}\n"


def test_many_that_must_be_executed_start_at_once(running, notebook, who):
    """Each says so before it ends, however busy its server is."""
    notebook.kernel()
    put(who, "hwt_start.pth", "import os; os.environ['HWT_TOLD'] = 'yes'\n")
    with ThreadPoolExecutor(6) as beside:
        kernels = [*beside.map(lambda _: notebook.kernel(), range(6))]
    assert [kernel.run("import os; print(os.environ['HWT_TOLD'])") for kernel in kernels] == ["yes\n"] * 6
    assert "ended while it started" not in notebook.log()
