"""Limits hold: what goes past memory is ended, the processor is capped, processes are counted; the server lives."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from tests import hogs
from tests.asking import ask_start
from tests.conftest import Account, measured, wait_until
from tests.running import Kernel, Notebook, Service, stuck
from tests.slowness import SLOWNESS

from hubwright.fields import server_key

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def notebook(service: Callable[..., Service], person: Account) -> Notebook:
    yaml = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 400M, cpu: 0.5, processes: 120, servers: 2}
"""
    return service(yaml).up().start(person.name)


def test_a_hog_in_a_kernel_loses_its_kernel_only(notebook: Notebook) -> None:
    """The kernel dies and comes back; the server answers all along, and the page says why."""
    kernel, other, pid = notebook.kernel(), notebook.kernel(), notebook.pid
    other.run("kept = 42")
    words = notebook.notice(lambda: kernel.send(hogs.MEMORY))
    assert "One of your processes was ended" in words
    assert "memory limit of 400M" in words
    assert notebook.pid == pid
    assert notebook.ask("GET", "api").status_code == 200
    assert other.run("kept") == "42"
    kernel.ws.shutdown()
    assert Kernel(notebook, kernel.id).run("'again'") == "'again'"


def test_a_hog_in_a_subprocess_leaves_the_kernel(notebook: Notebook) -> None:
    kernel = notebook.kernel()
    code = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {hogs.MEMORY!r}]).returncode)"
    seen: list[str] = []
    words = notebook.notice(lambda: seen.append(kernel.run(code)))
    assert seen == ["-9\n"]
    assert "memory limit" in words
    assert kernel.run("1 + 1") == "2"


def test_a_hog_in_a_terminal_leaves_the_server(notebook: Notebook) -> None:
    terminal, pid = notebook.terminal(), notebook.pid
    code = 'b = []\nwhile True: b.append(bytearray(b"x") * 2**24)'
    words = notebook.notice(lambda: terminal.send(json.dumps(["stdin", f"python3 -c '{code}'\r"])))
    assert "memory limit" in words
    assert notebook.pid == pid
    assert notebook.ask("GET", "api").status_code == 200


def test_the_processor_is_capped_within_a_tenth(notebook: Notebook) -> None:
    """Half a processor, over two busy processes."""
    kernel = notebook.kernel()
    shares = measured(lambda: float(kernel.value(hogs.PROCESSORS)), 0.5 * 0.9)
    assert max(shares) == pytest.approx(0.5, rel=0.1), shares


def test_processes_are_capped(notebook: Notebook) -> None:
    code = (
        "import subprocess\nps = []\ntry:\n    for _ in range(200): ps.append(subprocess.Popen(['sleep', '60']))\n"
        "except OSError as e: print(type(e).__name__)\nfinally:\n    for p in ps: p.kill()\n    for p in ps: p.wait()"
    )
    assert notebook.kernel().run(code).strip() == "BlockingIOError"


def test_the_server_knows_its_limits(notebook: Notebook) -> None:
    code = "import os; print(os.environ['MEM_LIMIT'], os.environ['CPU_LIMIT'])"
    assert notebook.kernel().run(code).split() == [str(400 * 2**20), "0.5"]


def test_a_hub_that_asks_for_no_limits_gets_them_all_the_same(notebook: Notebook) -> None:
    """The fork server reads hub.yaml's limits from root's own policy, not from the hub's request."""
    pid = ask_start(notebook.service.run, notebook.user, "greedy", {})
    found = [path.read_text().strip() for path in _memory_limits(server_key(notebook.user, "greedy"))]
    assert found == [str(400 * 2**20)]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: pid not in [server["pid"] for server in notebook.service.listed()])


def test_a_hub_that_asks_for_more_servers_than_a_person_may_have_gets_none(notebook: Notebook) -> None:
    """The hub counts, too; one that was taken over would not."""
    pid = ask_start(notebook.service.run, notebook.user, "second", {})
    try:
        with pytest.raises(AssertionError, match=r"2 of this person's servers run, and hub\.yaml allows no more"):
            ask_start(notebook.service.run, notebook.user, "third", {})
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: pid not in [server["pid"] for server in notebook.service.listed()])


def test_nobody_waits_while_a_fork_bomb_is_ended(notebook: Notebook, module_account: Callable[..., Account]) -> None:
    """It forks as fast as it can, and one of its processes does not let itself be ended."""
    service, bomber, other = notebook.service, module_account(), module_account()
    kernel = service.start(bomber.name).kernel()
    bomb = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.001)"
    last = int(kernel.run(f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {bomb!r}]).pid)"))
    wait_until(lambda: max(one["processes"] for one in service.listed()) >= 115)
    spent = []
    with stuck(last):
        service.stop(bomber.name)
        while len(spent) < 100:
            began = time.monotonic()
            assert [one["user"] for one in service.listed()] == [notebook.user]
            spent.append(time.monotonic() - began)
            time.sleep(0.01)
        assert service.start(other.name).ask("GET", "api").status_code == 200
    assert median(spent) < 0.02 * SLOWNESS, "the fork server answers as ever"
    service.stop(other.name)
    wait_until(lambda: not _control_groups(f"hubwright-{service.run.name}*/user.{bomber.uid}"))


def _memory_limits(key: str) -> list[Path]:
    names = ("memory.max", "memory.limit_in_bytes")
    return [path / name for path in _control_groups(key) for name in names if (path / name).exists()]


def _control_groups(pattern: str) -> list[Path]:
    """Every control group of that name; others' may go while they are walked through, which a glob does not bear."""
    found = (Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup"))
    return [path for path in found if path.match(pattern)]


def test_nothing_is_left_of_a_stopped_server(notebook: Notebook) -> None:
    """Not a process, not one that detached itself, not a control group, not a folder."""
    marker = "hwt-stray"
    notebook.kernel().run(
        "import subprocess; p = subprocess.Popen(['bash', '-c', 'exec -a hwt-stray sleep 300'], start_new_session=True)"
    )

    def strays() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(entry.read_text())
            except OSError:
                continue
        return [text for text in found if text.startswith(marker)]

    wait_until(strays)
    notebook.service.stop(notebook.user)
    wait_until(lambda: not strays())
    wait_until(lambda: list((notebook.service.site.servers).iterdir()) == [])
    wait_until(lambda: not _control_groups(f"hubwright-{notebook.service.run.name}*/user.*"))
