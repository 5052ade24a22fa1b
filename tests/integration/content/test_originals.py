"""Where originals come from: folders of others, and git repositories over a real server with a password."""

from __future__ import annotations

import base64
import http.server
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
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
    run = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*run, "add", "--all"], check=True, capture_output=True)
    subprocess.run([*run, "commit", "--quiet", "--message", "x"], check=True, capture_output=True)
    subprocess.run([*run, "update-server-info"], check=True)
    return subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(source):
    folder = Path(tempfile.mkdtemp(dir=source)) / "repository"
    folder.parent.chmod(0o755)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    commit(folder, {"notebooks/a.ipynb": "one", "README.md": "read me"})
    return folder


class _Git(http.server.BaseHTTPRequestHandler):
    """git's own smart server (git-http-backend), behind a password."""

    top = ""
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        wanted = "Basic " + base64.b64encode(f"teacher:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {
            "GIT_PROJECT_ROOT": self.top, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "PATH": os.environ["PATH"],
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        told = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout
        head, _, rest = told.partition(b"\r\n\r\n")
        lines = [line.partition(": ")[::2] for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in lines if name == "Status"), 200)
        self.send_response(status)
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_POST = do_GET

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(repository):
    _Git.top, _Git.asked = str(repository.parent), 0
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Git)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/repository/.git"
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_repository_is_fetched_with_its_secret_and_only_when_it_has_changed(store, server, repository):
    source = Source(None, git.Repository(server, "main", f"teacher:{TOKEN}"), "notebooks")
    said: list[str] = []
    version = take(store, source, said)
    assert {*version.files} == {"a.ipynb"} and len(version.commit) == 40
    asked = _Git.asked
    assert take(store, source).number == 1
    assert _Git.asked - asked <= 3, "only the newest commit was asked for"
    newest = commit(repository, {"notebooks/b.ipynb": "two"})
    version = take(store, source)
    assert (version.number, {*version.files}, version.commit) == (2, {"a.ipynb", "b.ipynb"}, newest)
    assert not list(Path("/var/tmp").glob("hubwright-fetch-*")), "nothing is left, the secret neither"
    assert TOKEN not in " ".join(said) + repr(source)


@pytest.mark.parametrize(
    ("secret", "remedy"), [("", "Name a secret"), ("teacher:wrong", "Is the secret right")], ids=["none", "wrong"]
)
def test_a_repository_that_does_not_let_us_in_says_what_to_do(store, server, secret, remedy):
    with pytest.raises(MachineError) as told:
        take(store, Source(None, git.Repository(server, "", secret)))
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
