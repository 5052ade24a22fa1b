"""The roster's people, by each way to log in: a directory, Unix passwords, and single people by command."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import wait_until
from tests.integration.auth import openid
from tests.integration.auth.hub import Browser
from tests.integration.auth.slapd import HUB_PASSWORD, MISSING, Slapd
from tests.integration.auth.test_oidc import to_callback
from tests.running import port

from hubwright.machine.policy import find_account

pytestmark = pytest.mark.root

LDAP = """\
hub: {listen: "127.0.0.1:{port}"}
people: {roster: people.txt, ids: @IDS@}
"""
OIDC = """\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth:
  kind: oidc
  issuer: {issuer}
  client_id: hub
  name: email
  look_every: 1s
people: {{roster: people.txt, ids: {ids}}}
"""
PAM = """\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam}}
people: {{roster: people.txt, ids: {ids}, when_removed: keep}}
"""


@pytest.fixture
def ids():
    first = 2_000_000 + secrets.randbelow(900_000) * 1000
    return f"{first}-{first + 999}"


@pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils")
def test_people_of_a_directory_enter_by_the_roster_alone(service, names, ids, tmp_path):
    """On the roster and in the directory: in, and an admin where it says so; taken out: out at once."""
    ada, boss, _ = names
    slapd = Slapd(tmp_path).start()
    running = service(LDAP.replace("@IDS@", ids) + slapd.section())
    browsers = [Browser(running.url) for _ in names]
    try:
        for name in names:
            slapd.add_person(name, "secret of " + name)
        ca = running.folder / "ca.pem"
        ca.write_bytes(slapd.ca.read_bytes())
        ca.chmod(0o644)
        running.yaml = running.yaml.replace("{ca}", str(ca))
        (running.folder / "hub.yaml").write_text(running.yaml)
        (running.folder / "people.txt").write_text(f"{ada}\n{boss} admin\n")
        subprocess.run(
            running.command("secret", "ldap.password"), input=HUB_PASSWORD, capture_output=True, text=True, check=True
        )
        running.cli("apply")
        assert find_account(ada) is not None, "at once, before the first login"
        running.up()
        running.cli("apply")
        assert "Nothing to do" in running.cli("plan").stdout
        pages = [browser.login(name, "secret of " + name) for browser, name in zip(browsers, names, strict=True)]
        assert [page.status_code for page in pages] == [302, 302, 403]
        assert running.api("GET", f"/users/{boss}").json()["admin"] is True
        assert running.api("GET", f"/users/{ada}").json()["admin"] is False
        running.start(ada)
        (running.folder / "people.txt").write_text(f"{boss} admin\n")
        running.cli("apply", "--yes")
        assert running.listed() == [] and find_account(ada) is None
        wait_until(lambda: browsers[0].who() is None)
        assert browsers[0].login(ada, "secret of " + ada).status_code == 403
        assert browsers[1].who() == boss
    finally:
        for browser in browsers:
            browser.client.close()
        running.clean()
        slapd.stop()


def test_unix_passwords_are_set_and_shown_people_removed(service, names, ids):
    """`user passwd` gives a new account its password; `show` tells all; `remove --archive` takes account and home."""
    ada, bob, _ = names
    running = service(PAM.format(ids=ids))
    (running.folder / "hub.yaml").write_text(running.yaml)
    (running.folder / "people.txt").write_text(f"{ada}\n")
    browser = Browser(running.url)
    try:
        running.up()
        assert running.cli("apply").stdout.startswith("+ account ")
        done = subprocess.run(
            running.command("user", "passwd", ada, "--stdin"), input="correct horse\n", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert browser.login(ada, "correct horse").status_code == 302
        for name, word in ((bob, "x\n"), ("root", "x\n"), (ada, "\n")):
            done = subprocess.run(
                running.command("user", "passwd", name, "--stdin"), input=word, capture_output=True, text=True
            )
            assert done.returncode == 77 and "Traceback" not in done.stderr

        running.cli("user", "add", bob)
        shown = json.loads(running.cli("user", "show", bob, "--json").stdout)
        assert (shown["on_the_roster"], shown["number"]) == (False, int(ids.partition("-")[0]) + 1)
        assert ada in running.cli("user", "show", ada).stdout
        (Path("/home") / bob / "work").write_text("his")
        running.cli("user", "remove", bob, "--archive", "--yes")
        assert find_account(bob) is None and not Path("/home", bob).exists()
        assert bob in running.cli("homes", "list").stdout
        assert running.cli("user", "show", bob, check=False).returncode == 77

        (running.folder / "people.txt").write_text("")
        assert running.cli("plan", check=False).returncode == 2
        running.cli("apply", "--yes")
        assert find_account(ada) is not None and Path("/home", ada).is_dir(), "when_removed: keep"
        browser.client.cookies.clear()
        assert browser.login(ada, "correct horse").status_code == 403
    finally:
        browser.client.close()
        running.clean()
        shutil.rmtree(Path("/home", bob), ignore_errors=True)


def test_an_address_of_the_roster_enters_and_its_namesake_does_not(service, names, ids):
    """`ada@a` is on the roster, `ada@b` is not, and both would be "ada": only the first enters, under her number."""
    if (folder := openid.packages()) is None:
        pytest.skip("needs node and npm: apt install nodejs npm")
    ada, number = names[0], port()
    running = service(OIDC.format(ids=ids, issuer=f"http://localhost:{number}"))
    provider = openid.OpenIDProvider(folder, number, f"{running.url}/hub/oauth_callback").start()
    browsers = [Browser(running.url) for _ in range(2)]
    try:
        provider.change(1, email=f"{ada}@example.org")
        provider.change(2, email=f"{ada}@evil.org")
        (running.folder / "hub.yaml").write_text(running.yaml)
        (running.folder / "people.txt").write_text(f"{ada}@example.org admin\n")
        subprocess.run(
            running.command("secret", "oidc.secret"), input=openid.SECRET, capture_output=True, text=True, check=True
        )
        running.up()
        running.cli("apply")
        assert "Nothing to do" in running.cli("plan").stdout
        namesake = browsers[1].client.get(to_callback(running, browsers[1], "Ada", "other"))
        assert namesake.status_code == 403
        page = browsers[0].client.get(to_callback(running, browsers[0], "ada", "ada's"))
        assert page.status_code == 302, running.logs()
        assert browsers[0].who() == ada
        assert running.api("GET", f"/users/{ada}").json()["admin"] is True
        assert find_account(ada).pw_uid == int(ids.partition("-")[0])
        (running.folder / "people.txt").write_text(f"{ada}@evil.org\n")
        refused = running.cli("apply", "--yes", check=False)
        assert refused.returncode == 77 and f"{ada}@example.org" in refused.stdout
        wait_until(lambda: browsers[0].who() is None)
        page = browsers[0].client.get(to_callback(running, browsers[0], "ada", "ada's"))
        assert page.status_code == 403
    finally:
        for browser in browsers:
            browser.client.close()
        running.clean()
        provider.stop()
