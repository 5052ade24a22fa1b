"""Unix accounts that may not use the hub any more lose what they have, with the whole service that root started."""

from __future__ import annotations

import subprocess

import httpx
import pytest
from tests.conftest import wait_until
from tests.integration.auth.hub import Browser, told
from tests.integration.conftest import PAM
from tests.running import PLAIN

from hubwright.people.standing import shut

pytestmark = pytest.mark.root
GROUP = "hwt-stay"
YAML = f"""\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: {{groups: [{GROUP}]}}, look_every: 1s}}
"""


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_who_is_taken_out_loses_session_token_and_server_at_once(service, account):
    """Out of the group, locked, expired: nobody has to come by for it to end. Who stays notices nothing."""
    run("groupadd", GROUP)
    people = [account(groups=[GROUP]) for _ in range(4)]
    stays, leaves, locked, expired = (one.name for one in people)
    running = service(YAML)
    browsers = {one.name: Browser(running.url) for one in people}
    try:
        running.up()
        tokens = {}
        for one in people:
            page = browsers[one.name].login(one.name, one.password)
            assert page.status_code == 302, told(page)
            tokens[one.name] = running.api("POST", f"/users/{one.name}/tokens").json()["token"]
            running.start(one.name)

        def token_works(name):
            headers = {"Authorization": f"token {tokens[name]}"}
            return httpx.get(f"{running.url}/hub/api/user", headers=headers, timeout=30, **PLAIN).status_code == 200

        assert all(token_works(one.name) for one in people) and len(running.listed()) == 4
        for out, command in (
            (leaves, ("gpasswd", "-d", leaves, GROUP)),
            (locked, ("usermod", "-L", locked)),
            (expired, ("usermod", "-e", "1", expired)),
        ):
            before = len(running.listed())
            run(*command)
            wait_until(lambda before=before: len(running.listed()) == before - 1, 20)  # without a request of his
            assert not token_works(out)
            assert browsers[out].who() is None
        assert token_works(stays) and browsers[stays].who() == stays and len(running.listed()) == 1
        assert f"The account {locked} is locked." in running.logs()
        assert f"The account {expired} has expired." in running.logs()

        run("usermod", "-U", locked)
        person = next(one for one in people if one.name == locked)
        browsers[locked].client.cookies.clear()
        assert browsers[locked].login(locked, person.password).status_code == 302
        assert browsers[locked].who() == locked
    finally:
        for browser in browsers.values():
            browser.client.close()
        running.clean()
        run("groupdel", GROUP)


def test_whoever_guesses_keeps_nobody_out_who_comes_from_elsewhere(service, person):
    """Five failures a minute for a name are for those from one address: else anybody could hold up anybody."""
    running = service(PAM).up()
    guesser, ada = Browser(running.url), Browser(running.url)
    guesser.client = httpx.Client(
        base_url=running.url, timeout=60, transport=httpx.HTTPTransport(local_address="127.0.0.2")
    )
    with guesser.client, ada.client:
        pages = [guesser.login(person.name, f"wrong {number}") for number in range(6)]
        assert ["Too many" in told(page) for page in pages] == [False] * 5 + [True]
        assert ada.login(person.name, person.password).status_code == 302
        assert "Too many" in told(guesser.login(person.name, "wrong"))


@pytest.mark.parametrize(
    ("password", "ends", "why"),
    [
        ("$6$salt$hash", "", ""),
        ("!$6$salt$hash", "", "locked"),
        ("!", "", ""),
        ("!!", "", ""),
        ("!*", "", ""),
        ("*", "", ""),
        ("", "", ""),
        ("$6$salt$hash", "1", "expired"),
        ("$6$salt$hash", "20000", "expired"),
        ("$6$salt$hash", "20001", ""),
        ("$6$salt$hash", "0", ""),
    ],
)
def test_an_account_is_shut_by_a_lock_or_its_last_day(tmp_path, password, ends, why):
    """One without a password is not: PAM may know it from elsewhere."""
    shadow = tmp_path / "shadow"
    shadow.write_text(f"adam:!$6$other$one:1::::::\nada:{password}:19000:0:99999:7::{ends}:\nshort:!x\n")
    told = shut("ada", shadow, 20000)
    assert why in told and bool(told) == bool(why)
    assert shut("bob", shadow, 20000) == shut("short", shadow, 20000) == ""
