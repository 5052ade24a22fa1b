"""What the hub's account leaves in the state does no harm to root, who packs it, nor to whoever unpacks the archive."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import Account

from hubwright.care.units import saved
from hubwright.errors import MachineError
from hubwright.fields import Site

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


@pytest.fixture
def site(account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with an empty state, of an account that lives as long as the test."""
    folder = Path(tempfile.mkdtemp(prefix="hubwright-saved-"))
    folder.chmod(0o755)
    person = account()
    monkeypatch.setattr(saved, "FOLDER", folder / "backups" / "hubwright")
    state = folder / "state"
    state.mkdir(mode=0o700)
    os.chown(state, person.uid, person.gid)
    here = "127.0.0.1", 8000
    yield Site(None, state, folder / "run", Path(sys.prefix), person.name, True, here, "http://127.0.0.1:8000/")
    shutil.rmtree(folder)


def unpack(archive: Path, site: Site) -> tuple[list[str], Path]:
    """Return what `tar` lists, without the way to the state, and the state as `tar` unpacks it."""
    way = str(site.state).lstrip("/")
    target = site.state.parent / "restored"
    target.mkdir()
    listed = subprocess.run(["tar", "-t", "-f", archive], capture_output=True, text=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", target, "-f", archive], check=True, capture_output=True)
    return [line.removeprefix(way).strip("/") for line in listed.splitlines()], target / way


def test_a_second_name_of_a_file_is_a_file(site: Site) -> None:
    """A header of an archive as its content would otherwise be read as the next file: one of root's, anywhere."""
    planted = io.BytesIO()
    with tarfile.open(fileobj=planted, mode="w") as evil:
        member = tarfile.TarInfo("etc/planted")
        member.size = 4
        evil.addfile(member, io.BytesIO(b"evil"))
    (site.state / "one").write_bytes(planted.getvalue())
    os.link(site.state / "one", site.state / "two")
    listed, restored = unpack(saved.save(site, (), "test"), site)
    assert sorted(listed) == ["", "one", "two"]
    assert {(restored / name).read_bytes() for name in ("one", "two")} == {planted.getvalue()}
    assert not (site.state.parent / "restored" / "etc").exists()


def test_databases_links_and_files_come_back_and_pipes_are_left_out(site: Site) -> None:
    """A pipe is not waited for, also one with the name of a database."""
    with closing(sqlite3.connect(site.database)) as database, database:
        database.execute("create table people (name)")
        database.execute("insert into people values ('alice')")
    (site.state / "link").symlink_to("/etc/shadow")
    (site.state / "plain").write_text("kept")
    for name in ("pipe", "pipe.sqlite"):
        os.mkfifo(site.state / name)
    shutil.chown(site.database, site.account)
    listed, restored = unpack(saved.save(site, (), "test"), site)
    assert sorted(listed) == ["", "hub.sqlite", "link", "plain"]
    assert (restored / "link").readlink() == Path("/etc/shadow")
    assert (restored / "plain").read_text() == "kept"
    with closing(sqlite3.connect(restored / "hub.sqlite")) as database:
        assert database.execute("select name from people").fetchall() == [("alice",)]


def test_a_file_of_holes_fills_neither_memory_nor_disk(site: Site) -> None:
    """One that is larger than any of ours is refused by its name; nothing is left, the smaller one is packed."""
    path = site.state / "holes"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(MachineError, match=f"File too large: '{path}'"):
        saved.save(site, (), "test")
    assert list(saved.FOLDER.iterdir()) == []
    os.truncate(path, 2**26)
    with tarfile.open(saved.save(site, (), "test")) as archive:
        assert archive.getmember(str(path).lstrip("/")).size == 2**26


def test_the_program_that_copies_a_database_has_nothing_of_roots_terminal(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as the hub's account: in a session of its own, and nothing to read."""
    told = "import os, sys; print(os.getsid(0) == os.getpid(), os.readlink('/proc/self/fd/0'), file=open(sys.argv[2], 'x'))"
    monkeypatch.setattr(saved, "_COPY", told)
    site.database.touch()
    _, restored = unpack(saved.save(site, (), "test"), site)
    assert (restored / "hub.sqlite").read_text() == "True /dev/null\n"


def test_a_folder_of_backups_that_is_there_stays_as_closed_as_it_is(site: Site) -> None:
    saved.FOLDER.parent.mkdir(mode=0o700)
    saved.save(site, (), "test")
    assert saved.FOLDER.parent.stat().st_mode & 0o777 == 0o700
