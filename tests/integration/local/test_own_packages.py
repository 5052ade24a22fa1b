"""What somebody installs on top of Hubwright's own environment is his alone, and seen by every kernel of his."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account
from tests.running import PREFIX, Kernel, Notebook, Service

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


def test_another_python_gets_another_kernel_and_what_runs_keeps_its_own(running):
    """The script is of a version, as an environment's is, and written anew only when something has changed."""
    from hubwright.envs.own import kernel
    from hubwright.envs.versions import Versions

    versions = Versions(running.environments / ".own")
    before = versions.current()
    kernel.keep(versions.folder)
    assert versions.current() == before
    record = versions.folder / "current" / "version.json"
    record.write_text(record.read_text().replace(before.source, "0" * 64))
    kernel.keep(versions.folder)
    after = versions.current()
    assert (after.number, after.source) == (before.number + 1, before.source)
    script = versions.folder / "versions" / str(before.number) / "kernel" / "launch"
    nowhere = {"HOME": "/proc/nowhere"}
    told = subprocess.run([script, "--tell"], capture_output=True, text=True, timeout=20, env=nowhere)
    assert told.stdout.split("\0")[0] == f"{PREFIX}/bin/python"
