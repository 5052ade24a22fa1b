"""Password hashes and one-time links in one file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hubwright.auth.first_use.store import LINK_LASTS, Store, password_problem
from hubwright.errors import MachineError


class Clock:
    now = 1e9

    def __call__(self):
        return self.now


def test_a_link_sets_the_password_once(tmp_path):
    store = Store(tmp_path)
    token = store.new_link("ada")
    assert store.state("ada") == "unclaimed"
    assert store.link_problem("ada", token) == ""
    assert store.claim("ada", token, "correct horse") == ""
    assert store.state("ada") == "claimed"
    assert store.verify("ada", "correct horse")
    assert "does not work" in store.claim("ada", token, "another one")
    assert store.verify("ada", "correct horse")


def test_the_file_holds_neither_token_nor_password_and_is_private(tmp_path):
    store = Store(tmp_path)
    token = store.new_link("ada")
    text = store.path.read_text()
    store.claim("ada", token, "correct horse")
    assert token not in text
    assert "horse" not in store.path.read_text()
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["passwords.json"]


def test_links_of_others_and_changed_tokens_do_not_work(tmp_path):
    store = Store(tmp_path)
    ada, bob = store.new_link("ada"), store.new_link("bob")
    problems = {
        store.claim(*pair, "correct horse") for pair in (("ada", bob), ("bob", ada), ("ada", ada[:-1]), ("ada", ""))
    }
    problems |= {store.claim("nobody", "", "correct horse"), store.claim("nobody", ada, "correct horse")}
    problems |= {store.claim("ada", "\ud800é", "correct horse")}
    assert len(problems) == 1
    assert store.states(["ada", "bob", "nobody"]) == {"ada": "unclaimed", "bob": "unclaimed", "nobody": "none"}


def test_a_link_expires_after_a_week_and_says_so_only_to_its_holder(tmp_path):
    clock = Clock()
    store = Store(tmp_path, clock=clock)
    token = store.new_link("ada")
    clock.now += LINK_LASTS - 1
    assert store.link_problem("ada", token) == ""
    clock.now += 1
    assert store.state("ada") == "expired"
    assert "expired" in store.claim("ada", token, "correct horse")
    assert "expired" not in store.claim("ada", token + "x", "correct horse")
    assert store.state("ada") == "expired"


def test_a_new_link_ends_the_older_one_and_the_password(tmp_path):
    store = Store(tmp_path)
    store.claim("ada", store.new_link("ada"), "correct horse")
    older = store.new_link("ada")
    assert not store.verify("ada", "correct horse")
    newer = store.new_link("ada")
    assert store.link_problem("ada", older)
    assert not store.link_problem("ada", newer)


def test_of_many_claimers_one_wins(tmp_path):
    token = Store(tmp_path).new_link("ada")
    words = [f"correct horse {n}" for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        problems = list(pool.map(lambda word: Store(tmp_path).claim("ada", token, word), words))
    assert problems.count("") == 1
    winner = words[problems.index("")]
    assert [word for word in words if Store(tmp_path).verify("ada", word)] == [winner]


def test_what_is_not_the_password_does_not_fit(tmp_path):
    store = Store(tmp_path)
    store.set("ada", "x" * 72)
    assert store.verify("ada", "x" * 72)
    for wrong in ("", "x" * 71, "x" * 73, "x" * 72 + "\0", "\ud800", "y" * 1_000_000):
        assert not store.verify("ada", wrong)
    assert not store.verify("bob", "x")
    assert not store.verify("bob", "")


def test_an_unknown_name_takes_as_long_as_a_wrong_password(tmp_path):
    store = Store(tmp_path)
    store.set("ada", "correct horse")

    def seconds(name):
        began = time.thread_time()
        store.verify(name, "wrong password")
        return time.thread_time() - began

    assert min(seconds("nobody") for _ in range(3)) > 0.5 * min(seconds("ada") for _ in range(3))


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "too short"),
        ("1234567", "too short"),
        ("x" * 73, "too long"),
        ("é" * 37, "too long"),
        ("\0" * 9, "character"),
    ],
)
def test_what_cannot_be_a_password_is_told_in_words(password, words):
    assert words in password_problem(password, 8)


def test_a_password_of_the_least_and_most_is_taken():
    assert password_problem("12345678", 8) == ""
    assert password_problem("x" * 72, 8) == ""


def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(tmp_path):
    store = Store(tmp_path)
    store.path.write_text('{"passwords": {"ada": "')
    with pytest.raises(MachineError):
        store.verify("ada", "x")
    with pytest.raises(MachineError):
        store.new_link("ada")
    assert store.path.read_text() == '{"passwords": {"ada": "'


def test_a_kill_in_mid_write_loses_nothing(tmp_path):
    """A writer is killed at ten odd moments; the file is whole and what was there before is still there."""
    store = Store(tmp_path)
    store.set("ada", "correct horse")
    code = (
        "import sys, pathlib; from hubwright.auth.first_use.store import Store\n"
        "store = Store(pathlib.Path(sys.argv[1])); print('go', flush=True)\n"
        "while True: store.new_link('bob'); store.forget('bob')"
    )
    for round_ in range(10):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(0.01 + 0.0037 * round_)
            os.kill(writer.pid, signal.SIGKILL)
        assert json.loads(store.path.read_text())["passwords"].keys() == {"ada"}
    assert store.verify("ada", "correct horse")
