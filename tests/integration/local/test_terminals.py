"""In a terminal `python`, `pip` and `jupyter` are the notebooks', and what its user has set himself counts more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account
from tests.running import PREFIX, Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 1G, processes: 400}
"""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    return service(YAML).up()


@pytest.fixture
def who(account: Callable[..., Account]) -> Account:
    return account()


@pytest.fixture
def notebook(running: Service, who: Account) -> Notebook:
    return running.start(who.name)


def typed(notebook: Notebook, command: str) -> str:
    """Type a command into a new terminal; return what it prints."""
    terminal = notebook.terminal()
    terminal.send(json.dumps(["stdin", f"echo hwt-be''gin; {command}; echo hwt-e''nd\r"]))
    text = ""
    while not (found := re.search(r"hwt-begin\r?\n(.*)hwt-end", text, re.DOTALL)):
        kind, words = json.loads(terminal.recv())[:2]
        text += words if kind == "stdout" else ""
    return found[1].replace("\r\n", "\n")


def set_own(who: Account, name: str, text: str) -> None:
    path = who.home / name
    path.write_text(text)
    os.chown(path, who.uid, who.gid)


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_pip_in_a_terminal_installs_for_the_notebooks(running, who, shell):
    """Whatever the shell, and before any kernel was started."""
    subprocess.run(["usermod", "--shell", shell, who.name], check=True)
    notebook = running.start(who.name)
    wheel = wheels.write(running.folder / "wheels", "hwt_tau", files={"hwt_tau.py": "DIGITS = 6.28\n"})
    assert "Successfully installed hwt-tau-1.0" in typed(notebook, f"pip install --no-index {wheel}")
    assert "6.28\n" in typed(notebook, "python -c 'import hwt_tau; print(hwt_tau.DIGITS)'")
    assert notebook.kernel().run("import hwt_tau; print(hwt_tau.DIGITS)") == "6.28\n"
    space = f"{who.home}/.local/share/hubwright/environments/"
    assert [line.startswith(space) for line in typed(notebook, "command -v python; command -v pip").split()] == [
        True,
        True,
    ]
    assert typed(notebook, "command -v jupyter") == f"{PREFIX}/bin/jupyter\n"
    assert "HUBWRIGHT_BEFORE" not in typed(notebook, "env; set")


def test_what_a_login_reads_is_read(notebook, who):
    """/etc/profile, and the user's own, which come after the notebooks' programs and so stand before them."""
    assert "/usr/local/games" in typed(notebook, "echo $PATH"), "as Debian's /etc/profile has it"
    set_own(who, ".profile", "told() { echo yes; }\nPATH=$HOME/mine:$PATH\n")
    (who.home / "mine").mkdir()
    set_own(who, "mine/python", "#!/bin/sh\necho mine\n")
    (who.home / "mine/python").chmod(0o755)
    assert typed(notebook, "told; python") == "yes\nmine\n"
    set_own(who, ".bash_profile", "told() { echo first; }\n")
    assert typed(notebook, "told") == "first\n"


def test_a_posix_shells_own_settings_are_read(running, who):
    """What ENV names, too, which such a shell reads when it is no login shell."""
    subprocess.run(["usermod", "--shell", "/bin/sh", who.name], check=True)
    set_own(who, ".profile", "export ENV=$HOME/.shrc MINE=yes\n")
    set_own(who, ".shrc", "told() { echo $MINE; }\n")
    said = typed(running.start(who.name), "told; command -v python")
    assert re.fullmatch(rf"yes\n{who.home}/.local/\S+/bin/python\n", said)


def test_jupyter_in_a_terminal_runs_notebooks_as_the_notebooks_run(running, notebook, who):
    """With what was installed there, and by a kernel of the home, which is registered nowhere."""
    wheel = wheels.write(running.folder / "wheels", "hwt_tau", files={"hwt_tau.py": "DIGITS = 6.28\n"})
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "id": "a"}
    cell["source"] = "import hwt_tau; open('told', 'w').write(str(hwt_tau.DIGITS))"
    set_own(who, "x.ipynb", json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    said = typed(notebook, f"pip install --no-index {wheel} && jupyter execute --kernel_name=python3 x.ipynb")
    assert (who.home / "told").read_text() == "6.28", said
    listed = typed(notebook, "jupyter kernelspec list")
    assert f"{running.environments}/.own/current/kernel" in listed or "shown/kernels/python3" in listed
    who.add_environment("mine")
    cell["source"] = "import sys; open('told', 'w').write(sys.prefix)"
    set_own(who, "y.ipynb", json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    notebook.ask("GET", "api/kernelspecs")
    said = typed(notebook, "jupyter execute --kernel_name=own-mine y.ipynb")
    assert (who.home / "told").read_text() == f"{who.home}/mine", said


def test_a_terminal_opens_where_the_home_takes_nothing(notebook, who):
    share = who.home / ".local" / "share"
    share.mkdir(parents=True)
    os.chown(share, 0, 0)
    assert typed(notebook, "command -v python") == f"{PREFIX}/bin/python\n"
    assert typed(notebook, "echo ${PIP_PREFIX-none}") == "none\n"


def test_a_terminal_opens_where_the_kernel_has_an_older_script_or_none(running, notebook):
    """That of an environment which was built before there were such terminals knows no word for them."""
    kernel = (running.environments / ".own/current").resolve() / "kernel"
    text = (kernel / "launch").read_text()
    machines = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    (kernel / "launch").write_text("".join(line for line in text.splitlines(True) if "--in" not in line))
    assert typed(notebook, "command -v jupyter; command -v python3") == f"{PREFIX}/bin/jupyter\n{machines}\n"
    (kernel / "launch").unlink()
    assert typed(notebook, "echo $((6 * 7))") == "42\n"
    (kernel / "launch").write_text(text)
    (kernel / "launch").chmod(0o755)


@pytest.fixture
def another(running: Service) -> Iterator[Path]:
    """A script that says where it is, in place of the kernel's."""
    kernel = (running.environments / ".own/current").resolve() / "kernel"
    before = shutil.copy2(kernel / "launch", kernel / "kept")
    yield kernel / "launch"
    shutil.move(before, kernel / "launch")


def test_a_terminal_that_was_opened_later_takes_the_version_of_then(notebook, another):
    assert "none" in typed(notebook, "echo ${HWT_VERSION-none}")
    another.write_text(another.read_text().replace("#!/bin/sh\n", "#!/bin/sh\nexport HWT_VERSION=two\n", 1))
    assert "two" in typed(notebook, "echo ${HWT_VERSION-none}")
