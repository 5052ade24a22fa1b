"""The whole service, as root starts it, with people of a directory: from the secret to a running server."""

from __future__ import annotations

import pwd
import subprocess

import pytest
from tests.conftest import remove_account, wait_until
from tests.integration.auth.hub import Browser, told
from tests.integration.auth.slapd import BASE, HUB_PASSWORD, MISSING, Slapd

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils"),
]

LISTEN = """\
hub: {listen: "127.0.0.1:{port}"}
"""
GROUPS = f"""\
  groups: {{base: "ou=groups,{BASE}"}}
  allow: {{groups: [guests, lab]}}
"""


@pytest.fixture
def slapd(tmp_path):
    server = Slapd(tmp_path).start()
    yield server
    server.stop()


def test_from_the_secret_to_a_running_server(slapd, service, account):
    """The account is made at the first login; an account that is here already is nobody's of the directory."""
    local = account()
    name = "hwt-ldap-eve"
    slapd.add_person(name, "eve's")
    slapd.join(name, "guests")
    slapd.add_person(local.name, "from the directory")
    slapd.join(local.name, "guests")
    running = service(LISTEN + slapd.section() + GROUPS)
    try:
        ca = running.folder / "ca.pem"
        ca.write_bytes(slapd.ca.read_bytes())
        ca.chmod(0o644)
        running.yaml = running.yaml.replace("{ca}", str(ca))
        (running.folder / "hub.yaml").write_text(running.yaml)
        missing = running.cli("up", check=False)
        assert missing.returncode == 78
        assert "hubwright secret ldap.password" in missing.stderr
        given = subprocess.run(
            running.command("secret", "ldap.password"), input=HUB_PASSWORD, capture_output=True, text=True, timeout=90
        )
        assert given.returncode == 0, given.stderr
        looked = running.cli("check", "login", name)
        assert "The account is made at the first login" in looked.stdout
        running.up()
        browser = Browser(running.url)
        assert browser.login(name, "eve's").status_code == 302, running.logs()
        assert pwd.getpwnam(name).pw_uid >= 1000
        running.start(name)
        taken = Browser(running.url)
        page = taken.login(local.name, "from the directory")
        assert (page.status_code, "may not use this service" in told(page)) == (403, True)
        slapd.leave(name, "guests")
        wait_until(lambda: not running.api("GET", f"/users/{name}").json().get("servers"), 60)
        assert browser.who() is None
        browser.client.close()
        taken.client.close()
    finally:
        running.clean()
        remove_account(name)
