"""Where servers, homes and GPUs are looked up: the local engine's groups, the disk of a home, nvidia-smi."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from hubwright.engines.local import usage
from hubwright.errors import NotRunning
from hubwright.fields import Site
from hubwright.machine import disk, wire
from hubwright.metrics import gpu
from hubwright.metrics.homes import Homes
from hubwright.metrics.store import Home

MIB = 2**20


class ForkServer:
    """Answers as the fork server does, and counts how often it is asked."""

    def __init__(self, path, tree):
        self.path, self.tree = path, tree
        self.servers = {}
        self.asked = []
        self.mounts = {"memory": str(tree)}
        self.listener = None

    def start(self):
        self.listener = wire.listen(self.path, 0o600)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink()

    def serve(self, listener):
        for connection in wire.accepted(listener):
            keys = wire.receive(connection, 5).get("keys")
            self.asked.append(keys)
            found = {k: v for k, v in self.servers.items() if keys is None or k in keys}
            connection.sendall(
                wire.encode({"ok": True, "version": 2, "mounts": self.mounts, "base": "base", "servers": found})
            )


@pytest.fixture
def site(tmp_path):
    return Site(None, tmp_path, tmp_path, tmp_path, "me", False, ("127.0.0.1", 1), "http://x/")


@pytest.fixture
def fork_server(site, tmp_path):
    made = ForkServer(site.fork_socket, tmp_path / "tree")
    made.start()
    yield made
    made.stop()


def make(fork_server, uid, key, user="ada", server="", known=True):
    place = fork_server.tree / "base" / f"user.{uid}" / key
    place.mkdir(parents=True)
    if known:
        fork_server.servers[key] = [user, server, 1, 2]
    return place


def test_groups_are_found_and_named_once(site, fork_server):
    source = usage.source(site, {})
    assert source.running(()) == {}
    place = make(fork_server, 1000, "k1", "ada", "lab")
    make(fork_server, 1001, "k2", "bob")
    found = source.running(())
    assert {(one.user, one.server) for one in found.values()} == {("ada", "lab"), ("bob", "")}
    assert found["k1"].folders == {"memory": place}
    asked = len(fork_server.asked)
    for _ in range(5):
        assert source.running(()) is found, "nothing changed"
    assert len(fork_server.asked) == asked, "nobody is asked about what is known"


def test_names_are_remembered_across_a_restart(site, fork_server):
    make(fork_server, 1000, "k1", known=False)
    source = usage.source(site, {"k1": ("ada", "")})
    assert source.running(())["k1"].user == "ada"


def test_what_comes_and_goes_is_seen_at_once(site, fork_server):
    source = usage.source(site, {})
    source.running(())
    first = make(fork_server, 1000, "k1")
    assert set(source.running(())) == {"k1"}
    make(fork_server, 1000, "k2")
    assert set(source.running(())) == {"k1", "k2"}
    shutil.rmtree(first)
    assert set(source.running(())) == {"k2"}
    shutil.rmtree(first.parent)
    assert set(source.running(())) == set()
    shutil.rmtree(first.parents[1])
    assert set(source.running(())) == set()
    make(fork_server, 1000, "k1")
    assert set(source.running(())) == {"k1"}


def test_one_that_is_made_anew_between_two_looks_is_another_one(site, fork_server):
    source = usage.source(site, {})
    place = make(fork_server, 1000, "k1")
    before = source.running(())["k1"]
    kept = place.rename(place.parents[1] / "aside")  # its inode stays taken, as in the kernel
    place.mkdir()
    after = source.running({"k1"})["k1"]
    assert after.birth != before.birth
    kept.rmdir()


def test_a_group_that_nobody_knows_is_not_asked_for_again_and_again(site, fork_server):
    source = usage.source(site, {})
    make(fork_server, 1000, "left", known=False)
    for _ in range(20):
        assert source.running(()) == {}
    assert fork_server.asked.count(["left"]) <= 2


def test_a_silent_fork_server_is_told_as_such(site, fork_server):
    source = usage.source(site, {})
    fork_server.stop()
    with pytest.raises(NotRunning):
        source.running(())
    fork_server.start()
    make(fork_server, 1000, "k1")
    assert set(source.running(())) == {"k1"}


def test_without_control_groups_processes_are_told(site, fork_server):
    fork_server.mounts = {}
    fork_server.servers["k1"] = ["me", "", os.getpid(), 77]
    source = usage.source(site, {})
    found = source.running(())
    assert (found["k1"].pid, found["k1"].birth, found["k1"].folders) == (os.getpid(), f"{os.getpid()}-77", {})
    assert source.running(()) is found


# The disk of a home


def test_a_home_is_counted_once_and_links_are_not_followed(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 8 * MIB)
    (home / "file").write_bytes(b"x" * 2 * MIB)
    os.link(home / "file", home / "again")
    (home / "away").symlink_to(outside)
    deep = home
    for _ in range(60):
        deep = deep / "d"
        deep.mkdir()
    (deep / "last").write_bytes(b"x" * MIB)
    with (home / "holes").open("wb") as file:
        file.truncate(2**30)
    taken, whole = disk.count(home, time.monotonic() + 30)
    assert whole
    assert 3 * MIB <= taken < 3 * MIB + 70 * 4096 * 2


def test_counting_ends_when_its_time_is_over(tmp_path):
    for number in range(600):
        (tmp_path / str(number)).touch()
    assert disk.count(tmp_path, time.monotonic() - 1)[1] is False


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        disk.count(tmp_path / "nowhere", time.monotonic() + 1)


QUOTA = """\
Disk quotas for user ada (uid 1000): 
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      /dev/none       4       0       0       0       1       0       0       0
{device}  2048*  1024  4096  1790000000  10  0  0  0
"""  # noqa: W291


def test_a_quota_is_read():
    text = QUOTA.format(device="/dev/vda1")
    assert disk.parse_quota(text, "/dev/vda1") == (2 * MIB, MIB)
    assert disk.parse_quota(text, "/dev/none") == (4096, 0)
    assert disk.parse_quota(text, "/dev/other") is None
    assert disk.parse_quota("", "/dev/vda1") is None


def test_a_quota_is_preferred(tmp_path):
    """With a program that prints what quota(1) does: no file system of the test machine keeps quotas."""
    device = disk._device_of(tmp_path)
    program = tmp_path / "quota"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{QUOTA.format(device=device)}END\nexit 1\n")
    program.chmod(0o755)
    assert disk.measure(tmp_path, 5, str(program)) == {"bytes": 2 * MIB, "limit": MIB, "whole": True, "how": "quota"}
    program.write_text("#!/bin/sh\nexit 1\n")
    assert disk.measure(tmp_path, 5, str(program))["how"] == "files"


def test_an_ordinary_user_counts_his_own_home(site):
    me = pwd.getpwuid(os.getuid()).pw_name
    stored = []

    class Store:
        def set_home(self, user, home):
            stored.append((user, home))

        def close(self):
            pass

    homes = Homes(site, 900, lambda: [me], Store)
    homes._ask = lambda user: {"ok": True, **disk.measure(site.state, 5)}
    homes.count(me)
    assert stored[0][1] == homes.found[me]
    assert homes.next(time.monotonic(), time.time()) is None, "not again for a quarter of an hour"


def test_homes_take_turns_and_a_slow_one_is_counted_seldom(site):
    homes = Homes(site, 900, lambda: ["ada", "bob"], lambda: None)
    homes.found["bob"] = Home(time.time() - 100, 1, None, True)
    now = time.monotonic()
    assert homes.next(now, time.time()) == "ada"
    homes._due["ada"] = now + 5000
    assert homes.next(now, time.time()) is None, "bob was counted before a restart"
    assert homes.next(now + 801, time.time()) == "bob"


def test_a_home_that_cannot_be_counted_is_left_alone(site):
    homes = Homes(site, 900, lambda: ["ada"], lambda: None)
    homes._ask = lambda user: {"ok": False, "error": "x"}
    homes.count("ada")
    assert homes.next(time.monotonic() + 1000, time.time()) is None
    assert "ada" not in homes.found


# GPUs


SMI = """\
#!/bin/sh
case $1 in
  --query-gpu*) echo "NVIDIA A100, 40, 1000, 40960"; echo "Odd One, [N/A], 0, 81920" ;;
  *) echo "%d, 512"; echo "999999999, 7" ;;
esac
"""


def test_gpu_memory_is_found_by_control_group(tmp_path):
    """With a program that prints what nvidia-smi does: the test machine has no GPU."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI % 1234)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    proc = tmp_path / "proc" / "1234"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text("4:memory:/hubwright-1/user.1000/abcdef\n0::/\n")
    gpus, held = gpu.look(str(program), tmp_path / "proc")
    assert [(one.name, one.busy, one.memory) for one in gpus] == [("NVIDIA A100", 0.4, 1000 * MIB), ("Odd One", 0.0, 0)]
    assert held["abcdef"] == 512 * MIB


def test_a_broken_nvidia_smi_is_no_gpu(tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    assert gpu.look(str(program)) == ((), {})
    assert gpu.look(str(Path("/nowhere"))) == ((), {})
