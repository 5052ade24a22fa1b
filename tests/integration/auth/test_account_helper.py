"""The account helper with real PAM and real Unix accounts."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest
from tests.conftest import remove_account, wait_until

from hubwright.errors import NotRunning
from hubwright.machine import sudoers
from hubwright.machine.policy import find_account, group_names
from hubwright.people import passwords
from hubwright.people.account_helper import FAILURE_TAKES
from hubwright.people.children import MADE, TRIES

pytestmark = pytest.mark.root

FROM_ELSEWHERE = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(10)
try:
    s.connect(sys.argv[1]); s.sendall(b'{"op":"groups","user":"root"}\\n'); print(s.recv(1000).decode() or "closed")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def fresh_name():
    """A name that no account has; the account made with it is removed."""
    name = f"hwt-{secrets.token_hex(4)}"
    yield name
    remove_account(name)


def test_the_right_password_opens_and_names_the_groups(helper, account):
    ada = account()
    helper.policy(users=[ada.name])
    assert helper.ask("authenticate", ada.name, ada.password) == {"ok": True, "groups": [ada.name]}
    assert ada.password.encode() not in helper.log.read_bytes()


def test_what_is_not_the_password_does_not_open(helper, account):
    """Also what a C string would make of it, and what is longer than PAM takes."""
    helper.policy(all=True)
    for wrong in ("", "wrong", "{password}\0", "{password}\0x", "{password} ", "x" * 100_000, "\ud800", None, 7, ["x"]):
        ada = account()
        given = wrong.replace("{password}", ada.password) if isinstance(wrong, str) else wrong
        answer = helper.ask("authenticate", ada.name, given)
        assert answer["ok"] is False, wrong
        assert "Wrong user name or password" in answer["error"]


def test_an_account_without_a_password_does_not_open(helper, account):
    """pam_unix's `nullok` accepts anything for it."""
    ada = account()
    helper.policy(all=True)
    subprocess.run(["passwd", "--delete", ada.name], check=True, capture_output=True)
    assert helper.ask("authenticate", ada.name, "anything")["ok"] is False
    assert helper.ask("authenticate", ada.name, "")["ok"] is False


def test_names_are_exact(helper, account):
    ada = account()
    helper.policy(all=True)
    for name in (
        ada.name.upper(),
        str(ada.uid),
        f"{ada.name} ",
        f"{ada.name}\0",
        "",
        "../x",
        "a" * 33,
        None,
        0,
        [ada.name],
    ):
        assert helper.ask("authenticate", name, ada.password)["ok"] is False
        assert helper.ask("groups", name)["ok"] is False


def test_root_system_accounts_and_sudoers_are_refused_with_the_right_password(helper, account):
    sudoer = account(groups=["sudo"])
    helper.policy(all=True, users=[sudoer.name, "root", "daemon"])
    assert helper.ask("authenticate", sudoer.name, sudoer.password)["ok"] is False
    for name in ("root", "daemon", sudoer.name):
        assert helper.ask("authenticate", name, "x")["ok"] is False
        assert "does not serve" in helper.ask("ensure", name)["error"]
    helper.policy(all=True, admit=[sudoer.name])
    assert helper.ask("authenticate", sudoer.name, sudoer.password)["ok"] is True


def test_who_the_policy_does_not_name_is_refused(helper, account):
    ada = account()
    assert helper.ask("authenticate", ada.name, ada.password)["ok"] is False
    assert helper.ask("ensure", ada.name)["ok"] is False
    assert group_names(find_account(ada.name)) == [ada.name]
    (helper.run / "policy.json").unlink()
    assert "policy" in helper.ask("authenticate", ada.name, ada.password)["error"]


def test_a_locked_or_expired_account_is_refused(helper, account):
    locked, expired, stale = account(), account(), account()
    helper.policy(all=True)
    subprocess.run(["usermod", "--lock", locked.name], check=True)
    subprocess.run(["usermod", "--expiredate", "2001-01-01", expired.name], check=True)
    subprocess.run(["chage", "--lastday", "0", stale.name], check=True)
    assert helper.ask("authenticate", locked.name, locked.password)["ok"] is False
    assert "expired" in helper.ask("authenticate", expired.name, expired.password)["error"]
    assert "Change it" in helper.ask("authenticate", stale.name, stale.password)["error"]
    assert "expired" not in helper.ask("authenticate", expired.name, "wrong")["error"]


def test_the_time_does_not_tell_which_names_exist(helper, account):
    ada, refused = account(), account()
    helper.policy(users=[ada.name])
    times, errors = {}, set()
    for name in (ada.name, refused.name, "hwt-nobody-there", "root"):
        began = time.monotonic()
        errors.add(helper.ask("authenticate", name, "wrong")["error"])
        times[name] = time.monotonic() - began
    assert max(times.values()) - min(times.values()) < 0.5, times
    assert len(errors) == 1


def test_guessing_is_slowed_for_one_name_only(helper, account):
    """Also when the guesses come all at once; a right password in time starts the count anew."""
    ada, bob = account(), account()
    helper.policy(all=True)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: helper.ask("authenticate", ada.name, f"wrong{n}"), range(TRIES + 15)))
    assert sum("wait" in answer for answer in answers) == 15
    late = helper.ask("authenticate", ada.name, ada.password)
    assert late["ok"] is False
    assert 0 < late["wait"] <= 60
    assert str(late["wait"]) in late["error"]
    for _ in range(12):
        assert helper.ask("authenticate", bob.name, bob.password)["ok"]


def test_nobody_waits_behind_the_failures_of_others(helper, account):
    """Not as many wrong guesses, each for another name, as a few dozen addresses may make in a minute."""
    ada = account()
    helper.policy(all=True)

    def login():
        began = time.monotonic()
        assert helper.ask("authenticate", ada.name, ada.password) == {"ok": True, "groups": [ada.name]}
        return time.monotonic() - began

    alone, took = [login() for _ in range(5)], []
    with ThreadPoolExecutor(120) as pool:
        guesses = [pool.submit(helper.ask, "authenticate", f"hwt-nobody-{n}", "wrong") for n in range(1000)]
        while not all(guess.done() for guess in guesses):
            took.append(login())
            time.sleep(0.5)
    assert {guess.result()["error"] for guess in guesses} == {passwords.WRONG}
    assert median(took) < FAILURE_TAKES + 5 * median(alone), (took, alone)


def test_other_accounts_may_not_ask(helper, account):
    """Neither by the socket's permissions nor, where these are opened, by the kernel's word on who calls."""
    ada = account()
    ask = [sys.executable, "-I", "-c", FROM_ELSEWHERE, str(helper.socket)]

    def as_user(uid):
        return subprocess.run(ask, user=uid, group=uid, extra_groups=[], capture_output=True, text=True).stdout.strip()

    assert as_user(ada.uid) == "PermissionError"
    assert '"ok":false' in as_user(65534)
    helper.socket.chmod(0o666)
    assert as_user(ada.uid) in {"closed", "ConnectionResetError", "BrokenPipeError"}
    assert '"ok":false' in as_user(65534)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\n", b"null\n", b"[]\n", b"\xff\xfe\n", b"{\n", b"[" * 100_000 + b"\n", b"x" * 300_000, b'{"op": {}}\n'],
)
def test_garbage_is_answered_or_dropped(helper, account, garbage):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(helper.socket))
        try:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert answer == b"" or b'"ok":false' in answer
    assert helper.process.poll() is None
    assert helper.ask("groups", "root")["ok"] is False


def test_silent_callers_keep_nobody_out(helper, account):
    """More of them than children: they are dropped after a few seconds."""
    ada = account()
    helper.policy(all=True)
    silent = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(helper.socket))
        silent.append(client)
    assert helper.ask("authenticate", ada.name, ada.password)["ok"]
    for client in silent:
        client.close()


def test_fifty_at_once_are_all_answered(helper, account):
    people = [account() for _ in range(10)]
    helper.policy(all=True)
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda n: helper.ask("authenticate", people[n % 10].name, people[n % 10].password), range(50))
        )
    assert all(answer["ok"] for answer in answers)
    wait_until(lambda: helper.children() == [])


def test_a_killed_child_costs_one_answer(helper, account):
    ada = account()
    helper.policy(all=True)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(helper.ask, "authenticate", ada.name, "wrong")
        wait_until(helper.children)
        os.kill(helper.children()[0], signal.SIGKILL)
        with pytest.raises(NotRunning):
            answer.result(20)
    assert helper.ask("authenticate", ada.name, ada.password)["ok"]


def test_a_killed_helper_starts_again_in_place(helper, account):
    ada = account()
    helper.policy(all=True)
    helper.process.kill()
    helper.process.wait(10)
    with pytest.raises(NotRunning):
        helper.ask("authenticate", ada.name, ada.password, timeout=2)
    helper.log.unlink()
    helper.start()
    assert helper.ask("authenticate", ada.name, ada.password)["ok"]


def test_ensure_makes_an_account_with_a_private_home(helper, fresh_name):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: helper.ask("ensure", fresh_name), range(4)))
    assert sorted(answer["made"] for answer in answers) == [False, False, False, True]
    entry = find_account(fresh_name)
    home = Path(entry.pw_dir)
    assert (home.stat().st_uid, home.stat().st_mode & 0o7777) == (entry.pw_uid, 0o700)
    assert entry.pw_uid >= 1000
    assert entry.pw_shell == "/bin/bash"
    assert group_names(entry) == [fresh_name, "hubwright-users"]
    assert helper.ask("groups", fresh_name) == {"ok": True, "groups": [fresh_name, "hubwright-users"]}
    assert helper.ask("authenticate", fresh_name, "!")["ok"] is False


def test_ensure_makes_no_group_that_sudo_knows(helper):
    """On Ubuntu the group "admin" may do everything."""
    if find_account("admin") is not None:
        pytest.skip('needs a machine without an account "admin"')
    try:
        assert helper.ask("ensure", "admin")["made"]
        assert group_names(find_account("admin")) == ["hubwright-users"]
    finally:
        remove_account("admin")


def test_ensure_takes_no_home_that_is_there(helper, fresh_name):
    home = Path("/home", fresh_name)
    home.mkdir()
    try:
        assert "exists" in helper.ask("ensure", fresh_name)["error"]
        assert find_account(fresh_name) is None
    finally:
        home.rmdir()


def test_ensure_makes_a_missing_home_and_refuses_a_foreign_one(helper, fresh_name):
    assert helper.ask("ensure", fresh_name)["made"]
    home = Path(find_account(fresh_name).pw_dir)
    subprocess.run(["rm", "-r", str(home)], check=True)
    assert helper.ask("ensure", fresh_name) == {"ok": True, "made": False}
    assert home.stat().st_uid == find_account(fresh_name).pw_uid
    assert home.stat().st_mode & 0o7777 == 0o700
    os.chown(home, 0, 0)
    assert "belongs to user id 0" in helper.ask("ensure", fresh_name)["error"]


def test_ensure_makes_nothing_where_the_policy_does_not_say_so(helper, fresh_name):
    helper.policy(create=False, users=[fresh_name])
    assert "has no account" in helper.ask("ensure", fresh_name)["error"]
    assert find_account(fresh_name) is None
    (helper.run / "policy.json").write_text("{}")
    assert helper.ask("ensure", fresh_name)["ok"] is False
    assert find_account(fresh_name) is None


@pytest.fixture
def sudo_rule():
    """Write a rule for one name where sudo would read it."""
    fresh = not sudoers.FOLDER.exists()
    sudoers.FOLDER.mkdir(mode=0o750, exist_ok=True)
    path = sudoers.FOLDER / f"hwt-{secrets.token_hex(4)}"

    def write(name):
        path.write_text(f"{name} ALL=(ALL) /bin/true\n")
        path.chmod(0o440)

    yield write
    path.unlink(missing_ok=True)
    if fresh:
        sudoers.FOLDER.rmdir()


def test_whom_sudo_names_is_neither_made_nor_served(helper, account, fresh_name, sudo_rule):
    ada = account()
    helper.policy(all=True)
    sudo_rule(f"{ada.name}, {fresh_name}")
    assert "could become root" in helper.ask("ensure", fresh_name)["error"]
    assert find_account(fresh_name) is None
    assert helper.ask("authenticate", ada.name, ada.password)["ok"] is False
    assert "sudo's configuration names it" in helper.ask("ensure", ada.name)["error"]


def test_no_more_than_so_many_accounts_are_made_in_a_minute(helper, fresh_name, account):
    """Counted before useradd is asked, here by names whose homes exist, so that it does not take a minute."""
    ada = account()
    helper.policy(all=True)
    home = Path("/home", f"hwt-{secrets.token_hex(4)}")
    home.mkdir()
    try:
        for _ in range(MADE):
            assert "exists" in helper.ask("ensure", home.name)["error"]
        assert "Too many accounts" in helper.ask("ensure", home.name)["error"]
    finally:
        home.rmdir()
    assert "Too many accounts" in helper.ask("ensure", fresh_name)["error"]
    assert find_account(fresh_name) is None
    assert helper.ask("ensure", ada.name) == {"ok": True, "made": False}


def test_leaving_drops_the_membership_only(helper, fresh_name):
    assert helper.ask("ensure", fresh_name)["made"]
    before = find_account(fresh_name)
    assert helper.ask("leave", fresh_name) == {"ok": True}
    assert helper.ask("leave", fresh_name) == {"ok": True}
    assert find_account(fresh_name) == before
    assert group_names(before) == [fresh_name]
    assert Path(before.pw_dir).is_dir()
    assert helper.ask("ensure", fresh_name)["ok"] is False
    assert helper.ask("leave", "hwt-nobody-there") == {"ok": True}
    assert helper.ask("leave", "no name")["ok"] is False


def test_ensure_takes_no_number_of_the_rosters_range(helper, fresh_name):
    """useradd alone takes the highest number and one: the one of a person who is gone, as likely as not."""
    above = f"hwt-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--uid", "29990", "--no-create-home", above], check=True)
    try:
        helper.policy(ids=[20000, 29999])
        assert helper.ask("ensure", fresh_name)["made"]
        assert 1000 <= find_account(fresh_name).pw_uid < 20000
        assert 1000 <= find_account(fresh_name).pw_gid < 20000
    finally:
        remove_account(above)


def test_ensure_says_when_no_number_is_left(helper, fresh_name):
    helper.policy(ids=[1000, 29999])
    answer = helper.ask("ensure", fresh_name)
    assert "is left for an account" in answer["error"] and "people.ids" in answer["remedy"]
    assert find_account(fresh_name) is None


@pytest.fixture
def freeze():
    """Hold a process so that not even SIGKILL ends it, as a file system does that never answers."""
    group = Path("/sys/fs/cgroup/freezer") / f"hwt-{secrets.token_hex(4)}"
    if not os.access(group.parent, os.W_OK) or not (group.parent / "cgroup.procs").exists():
        pytest.skip("needs the freezer of cgroup v1")
    group.mkdir()

    def hold(pid):
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        wait_until(lambda: (group / "freezer.state").read_text().strip() == "FROZEN")

    hold.thaw = lambda: (group / "freezer.state").write_text("THAWED")
    yield hold
    hold.thaw()
    wait_until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_child_that_cannot_be_killed_holds_nobody_up(helper, account, freeze):
    ada = account()
    helper.stop()
    script = "from hubwright.people import account_helper, children; children.DEADLINE = 3.0; account_helper.main()"
    environment = {"PATH": os.environ["PATH"], "HUBWRIGHT_SITE": str(helper.site), "LANG": "C.UTF-8", "HOME": "/root"}
    helper.log.unlink()
    with helper.log.open("ab") as log:
        helper.process = subprocess.Popen([sys.executable, "-I", "-c", script], env=environment, stderr=log, cwd="/")
    wait_until(lambda: b"serves" in helper.log.read_bytes())
    helper.policy(all=True)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(helper.socket))
        wait_until(helper.children)
        (stuck,) = helper.children()
        freeze(stuck)
        wait_until(lambda: killed(stuck), 10)
        began = time.monotonic()
        assert helper.ask("authenticate", ada.name, ada.password, timeout=10)["ok"]
        assert time.monotonic() - began < 5
        assert stuck in helper.children()
        freeze.thaw()
    wait_until(lambda: helper.children() == [])


def killed(pid: int) -> bool:
    """Whether SIGKILL waits for the process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask & 1 << (signal.SIGKILL - 1) for mask in pending)
