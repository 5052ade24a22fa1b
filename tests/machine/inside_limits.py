"""Servers and kernels held to their limits by a fork server alone. `test_control_groups.py` runs this in a guest.

A whole service takes four minutes to start there; without hub and Caddy it is one. Elsewhere the first of them fails: it
reads the files of version 2.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import hogs
from tests.conftest import Account, measured, wait_until
from tests.machine.alone import Alone
from tests.running import Kernel, Notebook

from hubwright.fields import server_key
from hubwright.machine import cgroups

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

MEMORY = 400 * 2**20


@pytest.fixture(scope="module")
def service() -> Iterator[Alone]:
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    folder.chmod(0o755)
    one = Alone(folder, "", 0).prepare(all=True, limits={"memory": MEMORY, "cpu": 0.5, "processes": 120})
    try:
        yield one.up()
    finally:
        one.clean()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def person(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def notebook(service: Alone, person: Account) -> Notebook:
    return service.start(person.name, body={"memory": MEMORY})


@pytest.fixture(scope="module")
def kernel(notebook: Notebook) -> Kernel:
    return notebook.kernel()


def group(notebook: Notebook) -> cgroups.Group:
    record = notebook.service.site.servers / server_key(notebook.user, notebook.server) / "server.json"
    return cgroups.Group(cgroups.find(""), json.loads(record.read_text())["group"])


def test_server_and_kernel_are_in_a_group_of_their_own_below_the_users(
    notebook: Notebook, kernel: Kernel, person: Account
) -> None:
    """In the unit that systemd delegates, where it runs; what nobody asks for is limited by root's policy all the same."""
    found = group(notebook)
    unit = notebook.service.run.name
    assert found.path.endswith(f"hubwright-{unit}.service/user.{person.uid}/{server_key(person.name, '')}")
    pid = int(kernel.run("import os; print(os.getpid())"))
    assert {notebook.pid, pid} < set(found.pids())
    told = {"memory.max": str(MEMORY), "cpu.max": "50000 100000", "pids.max": "120", "memory.swap.max": "0"}
    read = (
        f"import json; print(json.dumps({{n: open(f'{found.folders[0]}/{{n}}').read().strip() for n in {list(told)}}}))"
    )
    assert kernel.value(read) == told, "its owner may read them"
    assert "PermissionError" in kernel.run(f"open('{found.folders[0]}/memory.max', 'w')"), "and not change them"


def test_a_hog_in_a_kernel_loses_its_kernel_only(notebook: Notebook, kernel: Kernel) -> None:
    """The kernel dies and comes back; the server answers all along, and the page says why."""
    other, pid = notebook.kernel(), notebook.pid
    other.run("kept = 42")
    words = notebook.notice(lambda: kernel.send(hogs.MEMORY))
    assert "One of your processes was ended" in words
    assert "memory limit of 400M" in words
    assert notebook.pid == pid
    assert other.run("kept") == "42"


def test_a_hog_in_a_subprocess_leaves_the_kernel(notebook: Notebook) -> None:
    again = notebook.kernel()
    code = f"import subprocess; print(subprocess.run(['/usr/bin/python3', '-c', {hogs.MEMORY!r}]).returncode)"
    assert again.run(code) == "-9\n"
    assert again.run("1 + 1") == "2"


def test_a_hog_in_a_terminal_leaves_the_server(notebook: Notebook) -> None:
    terminal, pid, before = notebook.terminal(), notebook.pid, group(notebook).usage().oom_kills
    code = 'b = []\nwhile True: b.append(bytearray(b"x") * 2**24)'
    terminal.send(json.dumps(["stdin", f"python3 -c '{code}'\r"]))
    wait_until(lambda: group(notebook).usage().oom_kills > before)
    assert notebook.pid == pid
    assert notebook.ask("GET", "api/status").status_code == 200


def test_processor_and_processes_are_capped(notebook: Notebook) -> None:
    """Half a processor, over two busy processes; and no more than 120 of them."""
    one = notebook.kernel()
    shares = measured(lambda: float(one.value(hogs.PROCESSORS)), 0.5 * 0.9)
    assert max(shares) == pytest.approx(0.5, rel=0.1), shares
    code = (
        "ps = []\ntry:\n    for _ in range(200):\n        pid = os.fork()\n        if pid == 0: time.sleep(60); os._exit(0)\n"
        "        ps.append(pid)\nexcept OSError as e: print(type(e).__name__)\n"
        "for p in ps: os.kill(p, 9); os.waitpid(p, 0)"
    )
    assert one.run(code).strip() == "BlockingIOError"


def test_servers_outlive_a_fork_server_that_is_killed_and_one_stopped_leaves_nothing(
    service: Alone, notebook: Notebook, person: Account
) -> None:
    """The next one finds the server in its group, and ends what it left: also what detached itself from everything."""
    kernel, pid, found = notebook.kernel(), notebook.pid, group(notebook)
    code = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    stray = int(kernel.run(code))
    assert service.process
    service.process.kill()
    service.process.wait(10)
    assert kernel.run("6 * 7") == "42"
    service.up()
    assert notebook.pid == pid
    assert {pid, stray} < set(found.pids())
    service.stop(person.name)
    wait_until(lambda: not Path(f"/proc/{stray}").exists())
    wait_until(lambda: not any(folder.parent.exists() for folder in found.folders))
    wait_until(lambda: not list(service.site.servers.iterdir()))


def test_a_fork_server_that_ends_gives_its_group_back(service: Alone) -> None:
    """Once no server runs in it."""
    assert service.process
    os.kill(service.process.pid, signal.SIGTERM)
    assert service.process.wait(20) == 0
    wait_until(lambda: not [tree for tree in cgroups.trees() if list(tree.glob(f"**/{service.unit}*"))])
