"""PAM for a hub that root did not start: unix_chkpwd checks one's own password, and nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

CODE = """
import asyncio, json, sys
from hubwright.auth.pam.authenticator import HelperPAMAuthenticator

class Request: remote_ip = "127.0.0.1"
class Handler: custom_login_error, request = "", Request

async def main():
    account, *tries = json.load(sys.stdin)
    authenticator = HelperPAMAuthenticator(account=account)
    for name, password in tries:
        handler = Handler()
        found = await authenticator.get_authenticated_user(handler, {"username": name, "password": password})
        print(json.dumps([found and found["name"], handler.custom_login_error]))

asyncio.run(main())
"""


def test_only_who_runs_the_hub_can_log_in(account):
    """With the right password, and slowed down after five wrong ones."""
    ada, bob = account(), account()
    tries = [(ada.name, ada.password), (bob.name, bob.password), (ada.name.upper(), ada.password), (ada.name, "")]
    tries += [(ada.name, ada.password + "\0"), (ada.name, "x" * 1000), (ada.name, "\ud800"), (ada.name, "wrong")]
    tries += [(ada.name, ada.password)]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([ada.name, *tries]),
        user=ada.uid,
        group=ada.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(tries), done.stderr
    assert answers[0] == [ada.name, ""]
    assert answers[1][0] is None
    assert f"only {ada.name} can log in" in answers[1][1]
    assert [answer[0] for answer in answers[2:]] == [None] * 7
    assert "Too many failed attempts" in answers[-1][1]
