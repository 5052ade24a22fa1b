"""Users and callers who mean harm: the fork server goes on, and the others with it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account, wait_until
from tests.integration.conftest import PAM
from tests.running import Service

from hubwright.engines.local.output import KEPT
from hubwright.engines.local.servers import AT_ONCE
from hubwright.machine import cgroups

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
PTRACE_SEIZE = 0x4206
WAIT_ALL = 0x40000000
"""__WALL of waitpid(2): also for those who are traced and no children."""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    running = service(PAM + "engine: {kind: local, servers: 20}\n").up()
    running.listed()  # waits for the fork server, which may come after the page
    return running


def send(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(path))
        try:
            caller.sendall(data)
            return caller.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            return b""


@pytest.mark.parametrize(
    "line",
    [
        b'{"op":' + b"[" * 100_000 + b"\n",
        b'{"op":"stop_all","grace":"x"}\n',
        b'{"op":"stop_all","grace":NaN}\n',
        b'{"op":"stop_all","grace":-1}\n',
        b'{"op":"signal","key":"x","signal":2.0}\n',
        b'{"op":null}\n',
        b'{"user":"hwt-a","server":"' + b"x" * 70_000 + b'"}\n',
        b'{"user":"hwt-a","env":{"A=B":"c"}}\n',
        b'{"user":"hwt-a","limits":{"memory":-1}}\n',
        b'{"user":"hwt-a","limits":{"memory":1e400}}\n',
    ],
)
def test_nonsense_ends_the_caller_only(running: Service, line: bytes) -> None:
    pid = running.part("fork-server")
    for name in ("fork.sock", "start.sock"):
        send(running.run / name, line)
    assert isinstance(running.listed(), list)
    assert running.part("fork-server") == pid


def test_a_child_that_is_killed_in_mid_start_costs_nothing(running: Service, person: Account) -> None:
    """SIGKILL for whatever the fork server has just forked, again and again."""
    pid = running.part("fork-server")
    running.add_user(person.name)
    for pause in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(running.run / "start.sock"))
            request = {"user": person.name, "server": "", "env": {}, "args": [], "limits": {}}
            caller.sendall(json.dumps(request).encode() + b"\n")
            time.sleep(pause)
            subprocess.run(["pkill", "-KILL", "-P", str(pid)])
    wait_until(lambda: running.listed() == [], 20)
    assert running.part("fork-server") == pid
    assert running.start(person.name).kernel().run("1 + 1") == "2"
    running.stop(person.name)


def test_who_asks_for_starts_without_end_gets_so_many_children_and_no_more(running: Service, person: Account) -> None:
    """Callers that say nothing, more than may be answered at once: they are dropped, and others start then.

    How many of them have a child at a time depends on the machine; `unit/engines/local/test_starts_at_once.py` counts.
    """
    pid = running.part("fork-server")

    def children() -> int:
        return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    callers = [socket.socket(socket.AF_UNIX) for _ in range(AT_ONCE + 50)]
    try:
        for caller in callers:
            caller.connect(str(running.run / "start.sock"))
        wait_until(children)
        assert running.listed() == [], "it answers on its other socket"
        for _ in range(20):
            assert children() <= AT_ONCE
            time.sleep(0.1)
    finally:
        for caller in callers:
            caller.close()
    wait_until(lambda: not children(), 60)
    assert running.start(person.name).kernel().run("1 + 1") == "2"
    assert running.part("fork-server") == pid
    running.stop(person.name)


def test_callers_that_hang_up_are_forgotten(running: Service, person: Account) -> None:
    from hubwright.fields import server_key

    running.start(person.name)
    pid = running.part("fork-server")
    request = json.dumps({"op": "wait", "key": server_key(person.name, "")}).encode() + b"\n"
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(running.run / "fork.sock"))
            caller.sendall(request)
            time.sleep(0.01)
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before + 3, 20)
    running.stop(person.name)


def test_a_traced_server_holds_up_nobody(running: Service, person: Account, account: Callable[..., Account]) -> None:
    """A tracer among the user's own processes keeps his ended server from being waited for; others start meanwhile."""
    notebook = running.start(person.name)
    code = (
        "import ctypes, os, time\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    libc = ctypes.CDLL(None, use_errno=True)\n"
        f"    r = libc.ptrace(0x4206, {notebook.pid}, 0, 0)\n"
        "    time.sleep(60)\n"
        "    os._exit(0)\n"
        "time.sleep(1)\nprint('traced')"
    )
    assert "traced" in notebook.kernel().run(code)
    other = account().name
    began = time.monotonic()
    running.api("DELETE", f"/users/{person.name}/server")
    assert running.start(other).kernel().run("1 + 1") == "2"
    assert time.monotonic() - began < 20
    wait_until(lambda: not running.server(person.name), 40)
    running.stop(other)


def test_the_group_of_a_traced_server_is_emptied_all_the_same(running: Service, person: Account) -> None:
    """Its exit code is not known yet, and its group cannot be removed at once: it is tried again until it is gone."""
    notebook = running.start(person.name)
    (record,) = running.site.servers.glob("*/server.json")
    groups = cgroups.Group(cgroups.find(""), json.loads(record.read_text())["group"]).folders
    within = [folder / "within" for folder in groups]
    for folder in within:
        folder.mkdir()
    pid = notebook.pid
    assert ctypes.CDLL(None, use_errno=True).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0
    try:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: list(running.site.servers.iterdir()) == [])  # it has begun to tidy
        time.sleep(0.5)
        assert [one["pid"] for one in running.listed()] == [pid]  # nobody could wait for it yet
        for folder in within:
            folder.rmdir()
        wait_until(lambda: not any(folder.exists() for folder in groups), 10)
    finally:
        os.waitpid(pid, WAIT_ALL)
    wait_until(lambda: not running.server(person.name), 40)


def test_deep_and_many_folders_of_a_user_hold_up_nobody(running: Service, person: Account) -> None:
    """What he puts into his runtime folder is removed without the fork server waiting, and without an end to it."""
    kernel = running.start(person.name).kernel()
    code = (
        "import os\n"
        "os.chdir(os.environ['JUPYTER_RUNTIME_DIR'])\n"
        "for _ in range(3000):\n"
        "    os.mkdir('d'); os.chdir('d')\n"
        "print('deep')"
    )
    assert "deep" in kernel.run(code)
    pid = running.part("fork-server")
    running.stop(person.name)
    assert running.part("fork-server") == pid
    wait_until(lambda: list(running.site.servers.iterdir()) == [], 30)


def test_a_full_runtime_folder_is_its_users_alone(
    running: Service, person: Account, account: Callable[..., Account]
) -> None:
    """It has a size of its own, within /run; the others do not notice, and nothing of it is left."""
    kernel = running.start(person.name).kernel()
    code = (
        "import os\n"
        "n = 0\n"
        "try:\n"
        "    with open(os.path.join(os.environ['JUPYTER_RUNTIME_DIR'], 'large'), 'wb', buffering=0) as f:\n"
        "        while n < 2**30: n += f.write(bytes(2**16))\n"
        "except OSError as e: print(e.strerror, n)"
    )
    words, _, size = kernel.run(code).strip().rpartition(" ")
    assert words == "No space left on device"
    assert int(size) <= 16 * 2**20
    other = account().name
    assert running.start(other).kernel().run("1 + 1") == "2"
    running.stop(other)
    running.stop(person.name)
    wait_until(lambda: str(running.run) not in Path("/proc/mounts").read_text())
    wait_until(lambda: list(running.site.servers.iterdir()) == [])


def test_two_servers_never_share_a_log(running: Service) -> None:
    """`ada`'s server `second` and the user `ada.second` write to two files."""
    from hubwright.engines.local.launch import log_path

    assert log_path(running.site, "ada", "second") != log_path(running.site, "ada.second", "")


def test_who_prints_without_end_fills_no_disk(running: Service, person: Account) -> None:
    """Past all capture, as fast as a kernel can: the log stays small, and everybody is served."""
    notebook = running.start(person.name)
    flood = 'timeout 8 yes & exec python -m ipykernel_launcher -f "$0"'
    person.add_kernel("flood", ["sh", "-c", flood, "{connection_file}"])
    kernel = notebook.kernel("flood")
    logs, most, end = running.state / "logs" / "users", 0, time.monotonic() + 6
    while time.monotonic() < end:
        sizes = [path.stat().st_size for path in logs.glob(f"{person.name}.log*") if path.exists()]
        most = max(most, sum(sizes))
        time.sleep(0.005)
    assert 2**20 < most <= 10 * 2**20
    assert kernel.run("print('heard')") == "heard\n"
    assert notebook.ask("GET", "api").status_code == 200
    running.stop(person.name)


def test_who_gives_his_servers_ever_new_names_fills_no_disk(running: Service, person: Account) -> None:
    """Each has a log, which nobody removes when the server's name is given up."""
    logs = running.state / "logs" / "users"
    names = [f"n{number}" for number in range(KEPT + 3)]
    for name in names:
        running.start(person.name, name)
        running.api("DELETE", f"/users/{person.name}/servers/{name}", {"remove": True})
        wait_until(lambda name=name: name not in running.api("GET", f"/users/{person.name}").json()["servers"], 30)
    left = sorted(path.name for path in logs.glob(f"{person.name}@*"))
    assert len(left) <= KEPT + 1
    assert f"{person.name}@{names[-1]}.log" in left
    assert f"{person.name}@{names[0]}.log" not in left


def test_what_a_server_prints_is_kept_while_the_fork_server_is_away(running: Service, person: Account) -> None:
    notebook = running.start(person.name)
    kernel = notebook.kernel()
    forks = running.part("fork-server")
    os.kill(forks, signal.SIGKILL)
    assert kernel.run("get_ipython().kernel.log.critical('printed while it was away')") == ""
    wait_until(lambda: running.part("fork-server") not in (0, forks) and running.listed(), 60)
    log = running.state / "logs" / "users" / f"{person.name}.log"
    wait_until(lambda: "printed while it was away" in log.read_text())
    running.stop(person.name)
