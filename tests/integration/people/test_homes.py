"""Archives of homes: a round trip, and what a hostile owner can do to root."""

from __future__ import annotations

import gzip
import io
import json
import os
import pwd
import socket
import tarfile
from pathlib import Path

import pytest
from tests.conftest import remove_account

from hubwright.errors import MachineError, Refused
from hubwright.machine.mounts import mount_memory, unmount
from hubwright.people import archive, homes, whole

pytestmark = pytest.mark.root


@pytest.fixture
def state(tmp_path):
    return tmp_path


@pytest.fixture
def ada(account):
    return account()


def entry(person):
    return pwd.getpwnam(person.name)


def give(person, *paths):
    for path in paths:
        os.chown(path, person.uid, person.gid, follow_symlinks=False)


def names(path):
    with tarfile.open(path) as tar:
        return {info.name: info for info in tar}


def test_a_home_comes_back_as_it_was(ada, state):
    """Files, folders, modes, times, links of both kinds, odd names, holes; the archive is root's alone."""
    home = ada.home
    (home / "d").mkdir(mode=0o750)
    (home / "d" / "a").write_bytes(os.urandom(300_000))
    os.link(home / "d" / "a", home / "same")
    (home / "link").symlink_to("d/a")
    (home / "nowhere").symlink_to("/nowhere/at/all")
    odd = os.fsencode(home) + b"/\xff odd \n name"
    with open(odd, "wb") as file:
        file.write(b"x")
    (home / "run").write_text("#!/bin/sh\n")
    (home / "run").chmod(0o4755)
    with (home / "hole").open("wb") as file:
        file.truncate(10 * 2**20)
    os.utime(home / "run", (1_500_000_000, 1_500_000_000))
    give(ada, home / "d", home / "d/a", home / "link", home / "nowhere", odd, home / "run", home / "hole")
    told = []
    done = archive.create(entry(ada), state, lambda name, what: told.append((name, what)))
    assert done.lost_count == 0 and told[-1][0] == ada.name and told[-1][1]["done"]
    assert (done.path.stat().st_mode & 0o777, done.path.stat().st_uid) == (0o600, 0)
    (one,) = archive.found(state)
    assert (one.user, one.path) == (ada.name, done.path)

    back = archive.restore(entry(ada), one)
    assert back.lost_count == 0 and back.entries == done.entries
    restored = back.path
    assert restored.parent == home and restored.stat().st_uid == ada.uid
    assert (restored / "d/a").read_bytes() == (home / "d/a").read_bytes()
    assert (restored / "d").stat().st_mode & 0o777 == 0o750
    assert os.path.samefile(restored / "d/a", restored / "same")
    assert os.readlink(restored / "nowhere") == "/nowhere/at/all"
    assert os.path.exists(os.fsencode(restored) + b"/\xff odd \n name")
    assert (restored / "run").stat().st_mode & 0o7777 == 0o755, "no set-user-id"
    assert (restored / "run").stat().st_mtime == 1_500_000_000
    assert (restored / "hole").stat().st_size == 10 * 2**20
    assert all(path.lstat().st_uid == ada.uid for path in restored.rglob("*"))

    before = (restored / "run").read_text()
    with pytest.raises(Refused, match="already"):
        archive.restore(entry(ada), one)
    assert (restored / "run").read_text() == before


def test_all_homes_are_one_archive_of_which_each_comes_back(ada, account, state):
    """A plain tar; who cannot be packed is left out and told, without a trace in it; each is restored alone."""
    bob, gone = account(), account(home=False)
    for person, size in ((ada, 300_001), (bob, 70_000)):
        (person.home / "mine").write_bytes(os.urandom(size))
        give(person, person.home / "mine")
    made = whole.create([entry(ada), pwd.getpwnam("daemon"), entry(gone), entry(bob)], state)
    assert {*made.done} == {ada.name, bob.name} and {*made.failed} == {"daemon", gone.name}
    assert (made.path.stat().st_mode & 0o777, made.path.stat().st_uid) == (0o600, 0)
    assert not list((state / "archive").glob(".*"))
    assert [one.path for one in whole.found(state)] == [made.path] and archive.found(state) == []
    inside = names(made.path)
    assert len(inside) == 2 and all(info.size for info in inside.values())
    with tarfile.open(made.path) as tar, tarfile.open(fileobj=tar.extractfile(list(inside)[1])) as bobs:
        assert bobs.extractfile("mine").read() == (bob.home / "mine").read_bytes()
    for person, one in zip((ada, bob), whole.members(made.path), strict=True):
        assert one.user == person.name
        back = archive.restore(entry(person), one)
        assert (back.lost_count, back.entries) == (0, made.done[person.name].entries)
        assert (back.path / "mine").read_bytes() == (person.home / "mine").read_bytes()
        assert (back.path / "mine").stat().st_uid == person.uid
    with pytest.raises(MachineError, match="No home could be packed"):
        whole.create([entry(gone)], state)
    assert len(whole.found(state)) == 1 and not list((state / "archive").glob(".*"))
    (state / "no.tar").write_bytes(os.urandom(2000))
    for path, why in ((state / "no.tar", "is no archive of homes"), (state / "none.tar", "cannot be read")):
        with pytest.raises(Refused, match=why):
            whole.members(path)


def test_the_homes_of_all_are_restored_by_one_command(ada, account, service):
    """`homes restore --all --from`: each gets a folder of his own, once; who has no account any more is told of, by name."""
    running, bob, gone = service(), account(), account()
    (running.folder / "hub.yaml").write_text(running.yaml)
    running.state.mkdir(mode=0o755)
    for person in (ada, bob, gone):
        (person.home / "mine").write_text(person.name)
        give(person, person.home / "mine")
    made = whole.create([entry(person) for person in (ada, bob, gone)], running.state)
    remove_account(gone.name)
    for person in (ada, bob):
        (person.home / "mine").write_text("later")
    command = ("homes", "restore", "--all", "--from", made.path.name, "--json")
    done = running.cli(*command, check=False)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1 and {*rows} == {ada.name, bob.name, gone.name}
    assert f'This machine has no account "{gone.name}"' in rows[gone.name]["error"]
    for person in (ada, bob):
        folder = Path(rows[person.name]["folder"])
        assert (folder.parent, (folder / "mine").read_text()) == (person.home, person.name)
        assert (person.home / "mine").read_text() == "later"
        assert (folder / "mine").stat().st_uid == person.uid
    again = {row["name"]: row["error"] for row in json.loads(running.cli(*command, check=False).stdout)}
    assert all("already" in again[person.name] for person in (ada, bob)), again
    assert len(list(ada.home.glob("restored-*"))) == 1

    # one person's archive goes to whoever is named, under his own name and number
    one = archive.create(entry(ada), running.state).path
    assert "There is no archive of" in running.cli("homes", "restore", "nobody-at-all", check=False).stderr
    (row,) = json.loads(running.cli("homes", "restore", bob.name, "--from", str(one), "--json").stdout)
    assert (Path(row["folder"]).parent, Path(row["folder"], "mine").stat().st_uid) == (bob.home, bob.uid)


def test_a_link_never_leads_out_of_a_home(ada, account, state, tmp_path):
    """Links in place of files and folders, a folder as a home, hard names: nobody else's file is read, written or removed."""
    other = account()
    secret = other.home / "secret"
    secret.write_text("his")
    secret.chmod(0o600)
    give(other, secret)
    victim = tmp_path / "roots"
    victim.mkdir(mode=0o755)
    (victim / "keep").write_text("root's")
    tmp_path.chmod(0o755)
    (ada.home / "theirs").symlink_to(other.home)
    (ada.home / "shadow").symlink_to("/etc/shadow")
    (ada.home / "roots").symlink_to(victim)
    give(ada, ada.home / "theirs", ada.home / "shadow", ada.home / "roots")
    done = archive.create(entry(ada), state)
    found = names(done.path)
    assert all(found[name].issym() for name in ("theirs", "shadow", "roots"))
    assert not any(name.startswith(("theirs/", "roots/")) for name in found)

    # an archive that somebody forged: names that lead out, through a link of its own
    forged = state / "archive" / f"{ada.name}-20200101-000000.tar.gz"
    with gzip.open(forged, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(ada.home)
        tar.addfile(link)
        for name in ("out/planted", "../planted", "/tmp/hwt-planted", "a/../../planted", "out"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"bad"))
        hard = tarfile.TarInfo("hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "out/.bashrc"
        tar.addfile(hard)
        device = tarfile.TarInfo("null")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
        tar.addfile(device)
    old = next(one for one in archive.found(state, ada.name) if one.path == forged)
    back = archive.restore(entry(ada), old)
    assert back.lost_count == 6
    assert sorted(os.listdir(back.path)) == ["out"]
    assert not (ada.home / "planted").exists() and not Path("/tmp/hwt-planted").exists()

    # removing follows no link either
    archive.remove_home(entry(ada))
    assert not ada.home.exists()
    assert secret.read_text() == "his" and (victim / "keep").read_text() == "root's"

    # a home that is a link to somebody else's
    ada.home.symlink_to(other.home)
    with pytest.raises(MachineError):
        archive.create(entry(ada), state)
    with pytest.raises(MachineError):
        archive.remove_home(entry(ada))
    with pytest.raises(Refused):
        homes.missing(ada.home, ada.uid)
    ada.home.unlink()
    assert secret.read_text() == "his"


def test_what_cannot_be_packed_is_told(ada, state):
    """What root put there, sockets, too deep folders; the rest is packed all the same."""
    (ada.home / "roots").write_text("x")
    (ada.home / "roots").chmod(0o600)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(ada.home / "socket"))
    os.mkfifo(ada.home / "pipe")
    deep = os.open(ada.home, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=deep)
        os.chown("d", ada.uid, ada.gid, dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    done = archive.create(entry(ada), state)
    assert done.lost_count == 2
    assert any(text.startswith("roots: ") for text in done.lost) and any(
        "deeper than 100" in text for text in done.lost
    )
    assert ".bashrc" in names(done.path) and not {"socket", "pipe"} & names(done.path).keys()
    archive.remove_home(entry(ada))
    assert not ada.home.exists()


def test_a_folder_of_roots_in_a_home_keeps_it(ada):
    (ada.home / "roots").mkdir()
    (ada.home / "roots" / "f").write_text("x")
    with pytest.raises(MachineError, match="cannot be removed"):
        archive.remove_home(entry(ada))
    assert (ada.home / "roots" / "f").read_text() == "x"


def test_a_home_that_changes_meanwhile_gives_a_whole_archive(ada, state):
    """A file that grows and shrinks while it is read, folders swapped for links: always a sound archive, nothing foreign."""
    script = (
        "import os,time\n"
        f"os.chdir({str(ada.home)!r})\nend=time.time()+8\n"
        "while time.time()<end:\n"
        "    open('f','w').write('x'*3000000)\n    os.truncate('f',10)\n"
        "    os.makedirs('d',exist_ok=True)\n    open('d/x','w').write('mine')\n"
        "    os.rename('d','e'); os.symlink('/etc','d'); os.unlink('d'); os.unlink('e/x'); os.rmdir('e')\n"
    )
    import subprocess
    import sys

    hostile = subprocess.Popen([sys.executable, "-c", script], user=ada.uid, group=ada.gid, extra_groups=[], cwd="/")
    try:
        for _ in range(4):
            done = archive.create(entry(ada), state)
            assert not any(name.startswith("d/") and name != "d/x" for name in names(done.path))
    finally:
        hostile.kill()
        hostile.wait(10)


def test_system_accounts_are_refused(state):
    for name in ("root", "daemon", "nobody"):
        with pytest.raises(Refused):
            archive.create(pwd.getpwnam(name), state)


def test_a_new_home_is_whole_and_its_owners(ada, tmp_path):
    """From a skeleton of one's own; links are copied as links; one that others could change is refused."""
    skeleton = Path("/srv") / f"{ada.name}-skeleton"
    skeleton.mkdir(mode=0o755)
    try:
        (skeleton / "course").mkdir()
        (skeleton / "course" / "one.ipynb").write_text(json.dumps({}))
        (skeleton / "passwd").symlink_to("/etc/passwd")
        archive.remove_home(entry(ada))
        left = ada.home.parent / f".{ada.name}.hubwright-0123456789ab"
        left.mkdir()
        (left / "half").write_text("")
        homes.make(entry(ada), skeleton)
        assert not left.exists()
        assert ada.home.stat().st_mode & 0o7777 == 0o700
        assert (ada.home / "course/one.ipynb").stat().st_uid == ada.uid
        assert (ada.home / "passwd").is_symlink() and Path("/etc/passwd").stat().st_uid == 0
        archive.remove_home(entry(ada))
        skeleton.chmod(0o777)
        with pytest.raises(MachineError, match="can be written"):
            homes.make(entry(ada), skeleton)
        assert not ada.home.exists()
    finally:
        import shutil

        shutil.rmtree(skeleton)


def test_what_is_mounted_in_a_home_stays_out_and_stays_there(ada, state):
    """Packed and emptied as the owner, who cannot be traced by himself; names come out harmless."""
    inner = ada.home / "disk\x1b[31m\n"
    inner.mkdir()
    assert mount_memory(inner, size=2**20, inodes=10, uid=ada.uid, gid=ada.gid) == ""
    try:
        (inner / "keep").write_text("theirs")
        give(ada, inner / "keep")
        done = archive.create(entry(ada), state)
        assert done.lost == ("disk?[31m?: is a mount point",)
        assert not any(name.startswith("disk") for name in names(done.path))
        with pytest.raises(MachineError, match="mount point"):
            archive.remove_home(entry(ada))
        assert (inner / "keep").read_text() == "theirs"
    finally:
        unmount(inner)
