"""System accounts are made once, and never a person's."""

import grp
import pwd
import secrets
import subprocess
from pathlib import Path

import pytest

from hubwright.errors import MachineError
from hubwright.machine.accounts import ensure_group, ensure_system_account

pytestmark = pytest.mark.root


def test_a_system_account_is_made_once_without_shell_or_home():
    name = f"hwt-{secrets.token_hex(4)}"
    try:
        uid = ensure_system_account(name)
        assert ensure_system_account(name) == uid
        entry = pwd.getpwnam(name)
        assert uid < 1000
        assert entry.pw_shell.endswith(("nologin", "false"))
        assert entry.pw_dir == "/nonexistent"
        assert grp.getgrgid(entry.pw_gid).gr_name == name
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def test_one_that_is_closed_has_expired_so_that_nothing_is_run_for_it_later():
    """cron and at ask PAM whether an account is still valid; subprocesses of root's need no such word."""
    name = f"hwt-{secrets.token_hex(4)}"
    try:
        ensure_system_account(name, closed=True)
        (line,) = [line for line in Path("/etc/shadow").read_text().splitlines() if line.startswith(f"{name}:")]
        assert line.split(":")[7] == "1"
        assert subprocess.run(["true"], user=name, group=name, extra_groups=[]).returncode == 0
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def test_a_group_is_made_once():
    name = f"hwt-{secrets.token_hex(4)}"
    try:
        assert ensure_group(name) == ensure_group(name)
    finally:
        subprocess.run(["groupdel", name], check=True, capture_output=True)


def test_an_account_of_a_person_is_refused(account):
    who = account()
    with pytest.raises(MachineError, match="is a person's"):
        ensure_system_account(who.name)
    with pytest.raises(MachineError, match="is a person's"):
        ensure_system_account("root")
