"""GPUs of forked servers: each has its own, and can open no other. Nodes like /dev/zero stand in for GPUs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.asking import ask_start
from tests.conftest import EXECUTED, Account, wait_until
from tests.gpu_nodes import NODES, made
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

YAML = f"""\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local, gpus: [{", ".join(NODES)}]}}
profiles:
  sizes:
    One: {{cpu: 1, memory: 600M, gpu: 1}}
    Two: {{cpu: 1, memory: 600M, gpu: 2}}
    None: {{cpu: 1, memory: 600M}}
  default: {{sizes: [One, Two, None], servers: 3}}
"""
TRY = f"""\
import json, os
def opened(path):
    try:
        with open(path, "rb") as file:
            return len(file.read(3))
    except OSError as error:
        return type(error).__name__
print(json.dumps([opened(one) for one in {NODES}]))
"""
NOT = "PermissionError"


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Iterator[Service]:
    with made():
        yield service(YAML).up()


@pytest.fixture(scope="module")
def member(module_account: Callable[..., Account]) -> Account:
    """Somebody whose account may use every GPU of the machine."""
    return module_account(groups=["video"])


@pytest.fixture(autouse=True)
def _nothing_runs(running: Service) -> Any:
    yield
    for one in running.listed():
        running.stop(one["user"], one["server"])


def ask(running: Service, user: str, size: str, server: str = "") -> Any:
    path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
    return running.api("POST", path, {"size": size})


def in_terminal(notebook: Notebook, code: str) -> Any:
    """Run Python in a terminal, as somebody types it."""
    terminal = notebook.terminal()
    file = f"/tmp/hwt-{os.getpid()}-terminal.json"
    script = f"exec({code!r})".replace("'", "'\"'\"'")
    terminal.send(json.dumps(["stdin", f"{sys.executable} -I -c '{script}' > {file}; echo do''ne\r"]))
    text = ""
    try:
        while "done" not in text:
            kind, *rest = json.loads(terminal.recv())
            text += rest[0] if kind == "stdout" else ""
        return json.loads(Path(file).read_text())
    finally:
        Path(file).unlink(missing_ok=True)


def everywhere(notebook: Notebook, kernel: str = "python3") -> list[Any]:
    """Return what a kernel, a process of its, and a terminal can open."""
    found = notebook.kernel(kernel)
    child = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {TRY!r}], capture_output=True, text=True).stdout)"
    return [found.value(TRY), found.value(child), in_terminal(notebook, TRY)]


def test_a_server_opens_its_own_gpu_and_no_other(running: Service, member: Account) -> None:
    """In forked and executed kernels, their processes and terminals; also for one whose account may open all."""
    notebook = running.start(member.name, body={"size": "One"})
    assert everywhere(notebook) == [[3, NOT]] * 3
    member.add_kernel("own", [sys.executable, *EXECUTED[1:]])
    executed = notebook.kernel("own")
    assert executed.value(TRY) == [3, NOT]
    assert executed.run("import os; print(os.environ['CUDA_VISIBLE_DEVICES'] == '')").strip() == "True", "no Nvidia's"
    second = running.start(member.name, "second", {"size": "One"})
    assert second.kernel().value(TRY) == [NOT, 3]
    third = running.start(member.name, "third", {"size": "None"})
    assert everywhere(third) == [[NOT, NOT]] * 3, "without a grant none"


def test_whose_account_may_open_none_can_open_what_was_granted(
    running: Service, module_account: Callable[..., Account]
) -> None:
    user = module_account()
    notebook = running.start(user.name, body={"size": "Two"})
    assert everywhere(notebook) == [[3, 3]] * 3


def test_what_is_hidden_stays_so_for_who_makes_namespaces(running: Service, member: Account) -> None:
    """Root in a user namespace of one's own can neither take the cover off nor look beneath it."""
    kernel = running.start(member.name, body={"size": "None"}).kernel()
    uncover = (
        f"umount {NODES[0]}; umount -l /dev; mount -o remount,bind,dev {NODES[0]}; mkdir -p $HOME/d; "
        f"mount --bind /dev $HOME/d; mount -t devtmpfs none $HOME/d; cat $HOME/d/{Path(NODES[0]).name} | head -c3 | wc -c; "
        f"head -c3 {NODES[0]} | wc -c; echo end"
    )
    words = kernel.run(
        f"import subprocess; print(subprocess.run(['unshare', '-rm', 'sh', '-c', {uncover!r}], capture_output=True, text=True).stdout.split())"
    )
    assert words.strip() in ("['0', '0', 'end']", "[]"), words
    assert kernel.value(TRY) == [NOT, NOT]
    beneath = [f"/proc/[0-9]*/root{node}" for node in NODES]
    paths = f"import glob, json; print(json.dumps([p for one in {beneath} for p in glob.glob(one) if opened(p) == 3]))"
    assert kernel.value(paths) == [], "no process of theirs is outside"


def test_a_hub_that_asks_for_more_gets_none(running: Service, member: Account) -> None:
    """Requests that the hub would never send: more than anybody's size, and what another server has."""
    both = running.start(member.name, body={"size": "Two"})
    with pytest.raises(AssertionError, match="is used by another server"):
        ask_start(running.run, member.name, "lost", {}, gpus=NODES[:1])
    running.stop(both.user)
    with pytest.raises(AssertionError, match="may have 2 GPUs"):
        ask_start(running.run, member.name, "lost", {}, gpus=[*NODES, "/dev/null"])
    with pytest.raises(AssertionError, match="not on this machine, or not for servers"):
        ask_start(running.run, member.name, "lost", {}, gpus=["/dev/null"])


def test_a_gpu_is_its_servers_also_after_hub_and_fork_server_were_killed(
    running: Service, member: Account, module_account: Callable[..., Account]
) -> None:
    bob = module_account()
    kernel = running.start(member.name, body={"size": "One"}).kernel()
    for name in ("hub", "fork-server"):
        os.kill(before := running.part(name), signal.SIGKILL)
        wait_until(lambda name=name, before=before: running.part(name) not in (0, before) and running.answers(), 60)
    assert [one["user"] for one in running.listed()] == [member.name], "the fork server that answers is the new one"
    running.add_user(bob.name)
    refused = ask(running, bob.name, "Two")
    assert refused.status_code == 409 and "1 of 2 are free now" in refused.json()["message"]
    with pytest.raises(AssertionError, match="is used by another server"):
        ask_start(running.run, bob.name, "lost", {}, gpus=NODES[:1])
    assert running.start(bob.name, body={"size": "One"}).kernel().value(TRY) == [NOT, 3]
    assert kernel.value(TRY) == [3, NOT]
    running.stop(member.name)
    assert running.start(bob.name, "second", {"size": "One"}).kernel().value(TRY) == [3, NOT]


@pytest.fixture
def mounted() -> Iterator[Path]:
    """A file system whose mounts are shared with namespaces, as systemd has all of a machine's."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-", dir="/var/lib"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "--make-shared", "hwt", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--recursive", "--lazy", str(folder)], check=True)
    folder.rmdir()


def test_nothing_of_a_servers_mounts_is_left_outside(running: Service, member: Account, mounted: Path) -> None:
    """Its folder below /run has its own size, as everybody's; what the machine mounts later is there, too."""
    notebook = running.start(member.name, body={"size": "None"})
    kernel = notebook.kernel()
    size = (
        "import os, json; s = os.statvfs(os.environ['JUPYTER_RUNTIME_DIR']); print(json.dumps(s.f_blocks * s.f_bsize))"
    )
    assert kernel.value(size) == 16 * 2**20
    assert os.readlink(f"/proc/{notebook.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    assert str(running.run) not in Path("/proc/self/mountinfo").read_text()
    later = mounted / "later"
    later.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "hwt", str(later)], check=True)
    (later / "seen").touch()
    assert kernel.value(f"import json, os; print(json.dumps(os.listdir('{later}')))") == ["seen"]
    running.stop(member.name)
    wait_until(lambda: not list(running.site.servers.iterdir()), 20)


def test_without_a_word_of_gpus_a_server_has_the_machines_mounts(
    service: Callable[..., Service], member: Account
) -> None:
    plain = service(YAML.partition("engine:")[0]).up()
    notebook = plain.start(member.name)
    assert os.readlink(f"/proc/{notebook.pid}/ns/mnt") == os.readlink(f"/proc/{plain.part('fork-server')}/ns/mnt")
    assert notebook.kernel().run("import os; print('CUDA_VISIBLE_DEVICES' in os.environ)").strip() == "False"
