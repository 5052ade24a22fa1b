"""What a hostile user tries with zygotes and their keeper, which keep root's powers for becoming a user."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account, wait_until
from tests.integration.envs.test_zygotes import is_forked, zygotes
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 1G, processes: 2000}
environments:
  lab: {kind: existing, prefix: PREFIX, preload: [json]}
"""
OWN_VIEW = """\
import ctypes, json, os, pathlib, socket
libc = ctypes.CDLL(None, use_errno=True)
uid, gid, home = os.getuid(), os.getgid(), pathlib.Path.home()
NEW_USER, NEW_MOUNTS, RECURSIVE, PRIVATE, BIND = 0x10000000, 0x20000, 16384, 1 << 18, 4096
def must(result):
    if result:
        raise OSError(ctypes.get_errno(), "no")
def cover(place, text):
    ours = home / ("own-" + pathlib.Path(place).name)
    ours.write_text(text)
    ours.chmod(0o755)
    must(libc.mount(bytes(ours), os.fsencode(place), None, ctypes.c_ulong(BIND), None))
must(libc.unshare(NEW_USER | NEW_MOUNTS))
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
    pathlib.Path("/proc/self", name).write_text(text)
must(libc.mount(b"none", b"/", None, ctypes.c_ulong(RECURSIVE | PRIVATE), None))
cover("/etc/pam.d/su", "".join(f"{what} sufficient pam_permit.so\\n" for what in ("auth", "account", "session")))
launch = pathlib.Path(os.environ["HUBWRIGHT_ENVIRONMENTS"], "lab", "current").resolve() / "kernel" / "launch"
cover(launch, f"#!/bin/sh\\nsu -c 'id -u; cat /proc/self/uid_map' >{home}/proof 2>&1\\n")
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
    keeper.settimeout(20)
    keeper.connect(os.environ["HUBWRIGHT_ZYGOTES"])
    keeper.send(b"lab")
    words = {"file": "/tmp/x.json", "env": {"PATH": os.environ["PATH"]}, "folder": "/"}
    try:
        socket.send_fds(keeper, [json.dumps(words).encode()], [1, 2])
        said = keeper.recv(100).decode()
    except OSError:
        said = "execute"
(home / "said").write_text(said)
"""
"""A server's configuration that gives it mounts of its own making, in which su asks nobody for a password, and the
script that a forked kernel runs first is another. Then it asks for a kernel, as servers do."""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    one = service(YAML.replace("PREFIX", sys.prefix))
    one.up(wait=120)
    wait_until(lambda: [zygote["ready"] for zygote in zygotes(one)] == [True], 60)
    return one


def test_mounts_of_a_users_own_making_give_no_program_roots_rights(running, module_account):
    """A program such as su must not run with root's rights where a user says what is in /etc."""
    evil: Account = module_account()
    folder = evil.home / ".jupyter"
    folder.mkdir()
    (folder / "jupyter_server_config.py").write_text(OWN_VIEW)
    subprocess.run(["chown", "-R", f"{evil.uid}:{evil.gid}", str(folder)], check=True)
    running.start(evil.name)
    assert (evil.home / "said").read_text() == "execute"
    proof = evil.home / "proof"
    assert not proof.exists(), f"su was run where /etc is the user's, and says that it is: {proof.read_text()}"
    running.stop(evil.name)


HOLD = """\
import socket, sys, time
held = []
for number in range(3000):
    held.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    held[-1].connect(sys.argv[1])
for number in range(300):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as leaving:
        leaving.connect(sys.argv[1])
        try:
            leaving.send(b"lab")
        except OSError:
            pass
print("held", flush=True)
time.sleep(60)
"""


def test_who_calls_and_says_nothing_holds_up_nobody(running, person, module_account):
    """Anybody may call the keeper: with no account so often that it has no descriptors left, or fills its log."""
    keeper, log = running.part("zygotes"), running.state / "logs" / "zygotes.log"
    notebook = running.start(module_account().name)
    before = len(list(Path(f"/proc/{keeper}/fd").iterdir())), log.stat().st_size
    command = [sys.executable, "-c", HOLD, str(running.run / "zygotes.sock")]
    flood = subprocess.Popen(command, user=person.uid, group=person.gid, extra_groups=[], stdout=subprocess.PIPE)
    try:
        assert flood.stdout.readline() == b"held\n"
        assert len(list(Path(f"/proc/{keeper}/fd").iterdir())) <= before[0] + 100
        assert log.stat().st_size <= before[1] + 1000
        assert is_forked(notebook.kernel("lab"), running)
        assert running.part("zygotes") == keeper
    finally:
        flood.kill()
        flood.communicate()
        running.stop(notebook.user)
