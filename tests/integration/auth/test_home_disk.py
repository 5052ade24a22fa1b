"""The account helper counts a home's disk as its owner, one at a time, and holds nobody up by it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from tests.conftest import wait_until

pytestmark = pytest.mark.root
MIB = 2**20


@pytest.fixture
def person(helper, account):
    made = account()
    helper.policy(users=[made.name])
    return made


def write(person, name, size):
    path = person.home / name
    path.write_bytes(b"x" * size)
    os.chown(path, person.uid, person.gid)
    return path


def test_a_home_is_counted_with_the_rights_of_its_owner(helper, person):
    write(person, "mine", 3 * MIB)
    secret = person.home / "roots"
    secret.mkdir(mode=0o700)
    (secret / "big").write_bytes(b"x" * 20 * MIB)
    answer = helper.ask("disk", person.name)
    assert answer["ok"], answer
    assert 3 * MIB <= answer["bytes"] < 4 * MIB
    assert answer["whole"] is False, "root's folder cannot be looked into"
    assert answer["how"] == "files"


def test_only_people_are_counted_whom_the_policy_serves(helper, person, account):
    for name in ("root", "daemon", account().name, "nobody-at-all", "../x", 7, None):
        answer = helper.ask("disk", name)
        assert not answer["ok"], name
        assert "bytes" not in answer


def test_a_home_that_is_a_link_or_gone_leaks_nothing(helper, person):
    person.home.rename(person.home.with_name(f"{person.name}-away"))
    try:
        assert "cannot be read" in helper.ask("disk", person.name)["error"]
    finally:
        person.home.with_name(f"{person.name}-away").rename(person.home)


def test_one_at_a_time_and_nobody_waits_for_it(helper, person, account):
    many = person.home / "many"
    many.mkdir()
    for number in range(30_000):
        (many / str(number)).touch()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(helper.ask("disk", person.name, timeout=60)))
    asking.start()
    caught = []

    def catch() -> bool:
        for pid in helper.children():
            try:
                if uid_of(pid) == person.uid and nice_of(pid) == 19:  # it gives way to everybody else
                    os.kill(pid, signal.SIGSTOP)
                    caught.append(pid)
                    return True
            except (FileNotFoundError, ProcessLookupError):
                continue
        return bool(answers)

    try:
        while not catch():
            pass
        assert caught, "it was counted before it could be stopped"
        assert "Another home" in helper.ask("disk", person.name)["error"]
        assert helper.ask("authenticate", person.name, person.password)["ok"]
    finally:
        for pid in caught:
            os.kill(pid, signal.SIGCONT)
        asking.join(60)
    assert answers[0]["ok"]
    wait_until(lambda: helper.ask("disk", person.name)["ok"], 30)


def uid_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    raise AssertionError


def nice_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])
