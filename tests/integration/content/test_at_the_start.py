"""A whole service: contents are there when somebody's first server is, and he gets originals again by himself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

import httpx
import pytest
from tests.integration.content.conftest import tree, write
from tests.running import PLAIN

from hubwright.machine import wire

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

YAML = """\
hub:
  listen: "127.0.0.1:{port}"
auth:
  kind: pam
  allow: all
content:
  course:
    folder: %(folder)s
  secret-lab:
    folder: %(folder)s-lab
    allow: {groups: [%(group)s]}
"""


@pytest.fixture(scope="module")
def world(many, source, service):
    ada, bob, eve, full = many.make(4)
    write(source, {f"week-{number}/lesson.ipynb": f"text {number}" for number in range(100)})
    lab = source.with_name(source.name + "-lab")
    write(lab, {"solution.py": "42"})
    made = service(YAML % {"folder": source, "group": ada.name}).up()
    yield made, ada, bob, eve, full
    write(lab, {"solution.py": None})


@pytest.fixture(scope="module")
def notebook(world):
    """Ada's server, started once; with how long that took."""
    made, ada, *_ = world
    began = time.monotonic()
    started = made.start(ada.name)
    print(f"first start with 102 files: {time.monotonic() - began:.2f} s")
    return started


def log(made) -> str:
    return (made.state / "logs" / "hub.log").read_text()


def test_a_first_server_finds_the_contents_of_its_user(world, notebook):
    made, ada, bob, *_ = world
    assert len(tree(ada.home / "course")) == 100 and tree(ada.home / "secret-lab") == {"solution.py": "42"}
    assert f"Handed out course to {ada.name}" in log(made)
    made.start(bob.name)
    assert len(tree(bob.home / "course")) == 100
    assert not (bob.home / "secret-lab").exists(), "he is not in the group"
    made.stop(bob.name)
    (bob.home / "course/week-1/lesson.ipynb").unlink()
    handed = log(made).count(f"to {bob.name}")
    made.start(bob.name)
    made.stop(bob.name)
    assert log(made).count(f"to {bob.name}") == handed, "once is enough"
    assert not (bob.home / "course/week-1/lesson.ipynb").exists()


def test_handing_out_holds_up_a_start_by_little(world, source):
    """Measured at the account helper, without the server: the first time, with 100 files, and when nothing is due."""
    made, _, _, eve, _ = world
    took = []
    for _ in range(2):
        began = time.monotonic()
        answer = wire.call(made.run / "account.sock", {"op": "content", "user": eve.name, "due": True}, 60)
        took.append(time.monotonic() - began)
        assert answer["ok"] and not any(one["error"] for one in answer["contents"])
    print(f"100 files: {took[0] * 1000:.0f} ms, nothing due: {took[1] * 1000:.0f} ms")
    assert len(tree(eve.home / "course")) == 100
    assert took[0] < 10 and took[1] < 2


def test_the_owner_fetches_an_original_again_in_his_terminal(world, notebook):
    _, ada, *_ = world
    lesson, other = ada.home / "course/week-2/lesson.ipynb", ada.home / "course/week-3/lesson.ipynb"
    lesson.unlink()
    other.write_text("mine")
    kernel = notebook.kernel()
    command = "import subprocess as s; r = s.run({!r}, shell=True, capture_output=True, text=True); print(r.stdout + r.stderr)"

    def run(words: str) -> str:
        return kernel.run(command.format(f"hubwright content {words}"))

    listed = run("list")
    assert "course/week-2/lesson.ipynb was deleted" in listed and "course/week-3/lesson.ipynb is edited" in listed
    assert "course/week-2/lesson.ipynb is new" in run("restore course week-2/lesson.ipynb")
    assert lesson.read_text() == "text 2"
    assert "stays as it is; the original is beside it" in run("restore course week-3/lesson.ipynb")
    assert other.read_text() == "mine"
    (copy,) = other.parent.glob("lesson (original of *).ipynb")
    assert copy.read_text() == "text 3"
    assert "has no nowhere" in run("restore course nowhere")
    assert "root's" in run("restore course --all --user root")
    assert "There is no content" in run("restore nothing x")


def test_nobody_reaches_what_is_not_his(world, notebook):
    """Not the content of another group, not another's home, no path that leads out, not with another's token."""
    made, _, bob, eve, _ = world
    url = f"{made.url}/hub/api/hubwright/content"

    def ask(user, body):
        headers = {"Authorization": f"token {made.token(user.name)}"}
        return httpx.post(f"{url}/restore", json=body, headers=headers, timeout=30, **PLAIN)

    made.add_user(bob.name)
    answer = ask(bob, {"content": "secret-lab", "paths": [""]})
    assert answer.status_code == 400 and "There is no content" in answer.json()["message"]
    for path in ("../../etc/passwd", "/etc/passwd", "a/../../b", "a//b"):
        assert ask(bob, {"content": "course", "paths": [path]}).status_code == 400
    assert ask(bob, {"content": "course", "paths": []}).status_code == 400
    assert ask(bob, {"content": "course", "paths": "x"}).status_code == 400
    assert httpx.get(url, timeout=30, **PLAIN).status_code == 403
    assert httpx.get(url, headers=made.admin(), timeout=30, **PLAIN).status_code == 403, "a service has no home"
    narrow = made.api("POST", f"/users/{bob.name}/tokens", {"scopes": ["read:users!user"]}).json()["token"]
    refused = httpx.get(url, headers={"Authorization": f"token {narrow}"}, timeout=30, **PLAIN)
    assert refused.status_code == 403 and "not for servers" in refused.json()["message"]
    # the originals themselves, and the helper's socket
    as_bob = {"user": bob.uid, "group": bob.gid, "extra_groups": []}
    script = f"import os; os.listdir({str(made.state / 'content')!r})"
    assert (
        "PermissionError" in subprocess.run(["python3", "-c", script], capture_output=True, text=True, **as_bob).stderr
    )
    for request in ({"user": "root"}, {"user": bob.name, "content": 3}, {"user": bob.name, "asked": ["a"]}):
        assert not wire.call(made.run / "account.sock", {"op": "content", **request}, 30)["ok"]
    assert not (eve.home / "secret-lab").exists()


def test_a_full_disk_keeps_nobody_from_starting_and_the_next_push_completes(world):
    """A home of 2 MB: what fits is whole, the rest is told, and comes when there is room."""
    made, *_, person = world
    options = f"size=2m,uid={person.uid},gid={person.gid},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(person.home)], check=True)
    try:
        (person.home / "filler").write_bytes(os.urandom(1_800_000))
        os.chown(person.home / "filler", person.uid, person.gid)
        assert made.start(person.name)
        assert "the disk is full, or the quota is used up" in log(made)
        there = tree(person.home / "course")
        assert 0 < len(there) < 100 and all(text.startswith("text ") for text in there.values()), "none is half there"
        rows = json.loads(made.cli("content", "push", "--user", person.name, "--json", check=False).stdout)["homes"]
        assert "the disk is full" in rows[0]["error"]
        (person.home / "filler").unlink()
        made.cli("content", "push", "course", "--user", person.name)
        assert len(tree(person.home / "course")) == 100
        subprocess.run(["mount", "-o", "remount,ro", str(person.home)], check=True)
        write_again = made.cli("content", "restore", "course", "--all", "--user", person.name, check=False)
        assert "can only be read" in write_again.stderr
    finally:
        made.stop(person.name)
        subprocess.run(["umount", "-l", str(person.home)], check=True)


def test_a_push_reaches_somebody_at_work_and_a_link_opens_the_notebook(world, notebook, source):
    made, ada, *_ = world
    write(source, {"week-5/lesson.ipynb": "new text"})
    made.cli("content", "push", "course", "--user", ada.name)
    answer = notebook.ask("GET", "api/contents/course/week-5/lesson.ipynb?type=file")
    assert answer.json()["content"] == "new text"
    link = made.cli("content", "link", "course", "week-5/lesson.ipynb").stdout.strip()
    assert link == f"{made.url}/hub/user-redirect/lab/tree/course/week-5/lesson.ipynb"
    with httpx.Client(timeout=60, follow_redirects=True, **PLAIN) as browser:
        page = browser.get(link)
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert page.url.path == "/hub/login" and xsrf
        form = {"username": ada.name, "password": ada.password, "_xsrf": xsrf[1]}
        opened = browser.post(str(page.url), data=form)
    assert opened.url.path == f"/user/{ada.name}/lab/tree/course/week-5/lesson.ipynb" and opened.status_code == 200
