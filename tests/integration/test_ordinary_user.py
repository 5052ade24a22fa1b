"""Started without root: one user, the one who runs it, said plainly; everything else as with root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account, wait_until
from tests.running import Service, port

from hubwright.machine import wire
from hubwright.machine.process import Process

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
content: {course: {folder: originals}}
"""


@pytest.fixture(scope="module")
def running(person: Account) -> Iterator[Service]:
    folder = person.home / "service"
    folder.mkdir(mode=0o700)
    (folder / "originals").mkdir()
    (folder / "originals/lesson.txt").write_text("one")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, person.uid, person.gid)
    number = port()
    service = Service(folder, YAML.replace("{port}", str(number)), number, person)
    yield service.up()
    service.clean()


def test_its_user_has_a_server_and_a_forked_kernel(running: Service, person: Account) -> None:
    kernel = running.start(person.name).kernel()
    assert kernel.run("import os; print(os.getuid())").strip() == str(person.uid)
    pid = int(kernel.run("import os; print(os.getpid())"))
    assert Path(f"/proc/{pid}/cmdline").read_text().startswith(f"kernel {person.name}/")
    assert "1 server, 1 user." in running.cli("status").stdout
    running.stop(person.name)


def test_what_he_installs_in_a_notebook_is_not_installed_in_his_service(running: Service, person: Account) -> None:
    """Whose environment is his own, so that pip could."""
    made = wheels.write(running.folder / "wheels", "hwt_tau")
    kernel = running.start(person.name).kernel()
    assert "Successfully installed hwt-tau-1.0" in kernel.run(f"%pip install --no-index {made}")
    space = person.home / ".local/share/hubwright/environments"
    assert kernel.run("import hwt_tau; print(hwt_tau.__file__)").startswith(f"{space}/default-")
    running.stop(person.name)


def test_its_user_gets_contents_pushes_them_and_fetches_them_again(running: Service, person: Account) -> None:
    lesson = person.home / "course/lesson.txt"
    lesson.unlink(missing_ok=True)
    (person.home / ".local/share/hubwright/content/course.json").unlink(missing_ok=True)
    running.start(person.name)
    assert lesson.read_text() == "one"
    (running.folder / "originals/lesson.txt").write_text("two")
    running.cli("content", "push")
    assert lesson.read_text() == "two"
    lesson.write_text("mine")
    answer = running.api(
        "POST",
        "/hubwright/content/restore",
        {"content": "course", "paths": ["lesson.txt"]},
        headers={"Authorization": f"token {running.token(person.name)}"},
    )
    assert answer.status_code == 200, answer.text
    (copy,) = lesson.parent.glob("lesson (original of *).txt")
    assert (lesson.read_text(), copy.read_text()) == ("mine", "two")
    running.stop(person.name)


def test_a_server_that_was_just_stopped_is_told_by_nobody(running: Service, person: Account) -> None:
    """The metrics' last look may be older than its end."""

    def measured() -> list[str]:
        answer = running.api("GET", "/hubwright/usage?all=1")
        return [one["user"] for one in answer.json()["servers"]] if answer.status_code == 200 else []

    running.start(person.name)
    wait_until(lambda: person.name in measured())
    running.stop(person.name)
    assert "0 servers, 1 user." in running.cli("status").stdout


def test_nobody_else_has_one(running: Service, account: Callable[..., Account]) -> None:
    other = account()
    answer = running.api("POST", f"/users/{other.name}")
    assert answer.status_code in (201, 400, 403)
    answer = running.api("POST", f"/users/{other.name}/server", {})
    assert answer.status_code in (400, 403, 404), answer.text
    assert [one["user"] for one in running.listed() if one["user"] != person_of(running)] == []


def person_of(running: Service) -> str:
    return str(running.account.name)


def test_it_says_so(running: Service, person: Account) -> None:
    assert "root" in running.output()
    assert person.name in running.output()


def test_limits_are_refused_in_words(person: Account, running: Service) -> None:
    (running.folder / "limits.yaml").write_text('hub: {listen: "127.0.0.1:1"}\nengine: {memory: 1G}\n')
    words = ["check", "--config", str(running.folder / "limits.yaml"), "--state", str(running.folder / "none")]
    import subprocess

    done = subprocess.run(
        [running.command()[0], *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=running.env(),
        **running.identity(),
    )
    assert done.returncode != 0
    assert "limits need root" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("limit", "controller"), [("memory", "memory"), ("cpu", "cpu"), ("processes", "pids")])
def test_a_start_with_a_limit_that_cannot_hold_is_refused(
    person: Account, running: Service, limit: str, controller: str
) -> None:
    """By the fork server itself, whatever hub.yaml and the hub say."""
    request = {"user": person.name, "server": "limited", "env": {}, "limits": {limit: 2**30}}
    answer = wire.call(running.run / "start.sock", request)
    assert not answer["ok"]
    assert f"this machine cannot enforce a limit on {controller} (no such control group controller)" in answer["error"]
    assert answer["remedy"] == "Leave that limit out."
    assert "limited" not in [one["server"] for one in running.listed()]


def test_a_stopped_server_leaves_no_process(running: Service, person: Account) -> None:
    """Without control groups, what detached itself is found by its mark."""
    kernel = running.start(person.name).kernel()
    code = "import subprocess; print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid)"
    stray = int(kernel.run(code))
    running.stop(person.name)
    wait_until(lambda: not Process.of(stray))


def test_the_fork_server_is_killed_and_the_notebook_lives_on(running: Service, person: Account) -> None:
    kernel = running.start(person.name).kernel()
    kernel.run("kept = 1")
    old = running.part("fork-server")
    os.kill(old, 9)
    wait_until(lambda: running.part("fork-server") not in (0, old), 30)
    assert kernel.run("kept") == "1"
    assert [one["user"] for one in running.listed()] == [person.name]
    running.stop(person.name)


def test_stopping_ends_everything(running: Service) -> None:
    parts = [running.part(part) for part in ("hub", "fork-server", "caddy")]
    assert running.down() == 0
    assert not any(Process.of(one) for one in parts)
