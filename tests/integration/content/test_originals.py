"""Where originals come from: folders of others, and git repositories over a real server with a password."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests import git_here
from tests.integration.content.conftest import write

from hubwright.content import git, taking
from hubwright.content.store import Store
from hubwright.content.taking import Source
from hubwright.errors import MachineError

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
TOKEN = "s3cret:tok/en"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, "course")


@pytest.fixture
def teacher(many):
    (made,) = many.make(1)
    return made


def take(store, source, said=None):
    return taking.take(store, source, (said if said is not None else []).append)


def commit(folder: Path, files: dict[str, str | None]) -> str:
    """Change a repository; return the commit."""
    write(folder, files)
    return git_here.commit(folder)


@pytest.fixture
def repository(source):
    folder = Path(tempfile.mkdtemp(dir=source)) / "repository"
    folder.parent.chmod(0o755)
    git_here.begin(folder)
    commit(folder, {"notebooks/a.ipynb": "one", "README.md": "read me"})
    return folder


@pytest.fixture
def server(repository):
    with git_here.serving(repository.parent, f"teacher:{TOKEN}") as one:
        yield one


@pytest.fixture
def address(server):
    return server.address("repository/.git")


def test_a_repository_is_fetched_with_its_secret_and_only_when_it_has_changed(store, server, address, repository):
    source = Source(None, git.Repository(address, "main", f"teacher:{TOKEN}"), "notebooks")
    said: list[str] = []
    version = take(store, source, said)
    assert {*version.files} == {"a.ipynb"} and len(version.commit) == 40
    asked = server.asked
    assert take(store, source).number == 1
    assert server.asked - asked <= 3, "only the newest commit was asked for"
    newest = commit(repository, {"notebooks/b.ipynb": "two"})
    version = take(store, source)
    assert (version.number, {*version.files}, version.commit) == (2, {"a.ipynb", "b.ipynb"}, newest)
    assert not list(Path("/var/tmp").glob("hubwright-fetch-*")), "nothing is left, the secret neither"
    assert TOKEN not in " ".join(said) + repr(source)


@pytest.mark.parametrize(
    ("secret", "remedy"), [("", "Name a secret"), ("teacher:wrong", "Is the secret right")], ids=["none", "wrong"]
)
def test_a_repository_that_does_not_let_us_in_says_what_to_do(store, address, secret, remedy):
    with pytest.raises(MachineError) as told:
        take(store, Source(None, git.Repository(address, "", secret)))
    assert remedy in str(told.value) and "wrong" not in str(told.value).replace("wrong secret", "")


def test_a_branch_that_is_not_there_is_told(store, repository):
    with pytest.raises(MachineError, match=r"Is `ref` right\?"):
        take(store, Source(None, git.Repository(f"file://{repository}", "nowhere")))


def test_a_tag_and_a_commit_can_be_named(store, repository):
    first = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(["git", "-C", str(repository), "tag", "v1"], check=True)
    commit(repository, {"notebooks/a.ipynb": "two"})
    assert take(store, Source(None, git.Repository(f"file://{repository}", "v1"))).commit == first
    assert take(store, Source(None, git.Repository(f"file://{repository}"))).commit != first


def test_nothing_of_a_repository_is_run(store, repository):
    """Hooks and filters that the repository brings, and an address that would be a command."""
    commit(repository, {".gitattributes": "* filter=evil\n", "x": "1"})
    subprocess.run(["git", "-C", str(repository), "config", "filter.evil.smudge", "touch /tmp/hwt-evil"], check=True)
    hook = repository / ".git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\ntouch /tmp/hwt-evil\n")
    hook.chmod(0o755)
    assert "x" in take(store, Source(None, git.Repository(f"file://{repository}"))).files
    assert not Path("/tmp/hwt-evil").exists()
    with pytest.raises(MachineError):
        take(store, Source(None, git.Repository("ext::sh -c touch% /tmp/hwt-evil")))
    assert not Path("/tmp/hwt-evil").exists()


def test_git_that_is_missing_is_named(store, repository, monkeypatch):
    monkeypatch.setattr(git, "_PATH", "/nowhere")
    with pytest.raises(MachineError, match="apt install git"):
        take(store, Source(None, git.Repository(f"file://{repository}")))


def test_a_teachers_folder_shows_only_what_the_teacher_may_see(store, teacher, many, source):
    """Links and second names of others' files, put there by the owner of the folder, show nothing of theirs."""
    (other,) = many.make(1)
    secret = other.home / "secret"
    secret.write_text("his")
    secret.chmod(0o600)
    os.chown(secret, other.uid, other.gid)
    folder = teacher.home / "course"
    write(folder, {"a": "1", "sub/b": "2"})
    (folder / "shadow").symlink_to("/etc/shadow")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, teacher.uid, teacher.gid, follow_symlinks=False)
    version = take(store, Source(folder, None))
    assert {*version.files} == {"a", "sub/b"}, "a home of mode 0700 is read as its owner"
    assert version.left == ("shadow: a link that leads out of it",)
    os.link(secret, folder / "hard")
    with pytest.raises(MachineError, match="hard cannot be read: Permission denied"):
        take(store, Source(folder, None))
    current = store.current()
    assert current and current.number == 1, "what was pushed before stays"


def test_a_folder_of_roots_is_read_without_roots_rights(store, source, many):
    (member,) = many.make(1)
    folder = source / "shared"
    write(folder, {"a": "1"})
    (folder / "a").chmod(0o600)
    with pytest.raises(MachineError, match="a cannot be read"):
        take(store, Source(folder, None))
    for path, mode in ((folder, 0o2750), (folder / "a", 0o640)):
        os.chown(path, 0, member.gid)
        path.chmod(mode)
    assert {*take(store, Source(folder, None)).files} == {"a"}, "as the members of its group"


def test_an_account_that_is_the_systems_gets_nothing(store, source, tmp_path):
    from hubwright.content import running, who

    write(source / "plain", {"a": "1"})
    take(store, Source(source / "plain", None))
    root = who.Recipient("root", 0, 0, frozenset(), "/root")
    with (
        who.order(root, {"course": "course"}, tmp_path) as order,
        pytest.raises(MachineError, match="ordinary accounts"),
    ):
        running.run(order)
    assert not Path("/root/course").exists()
