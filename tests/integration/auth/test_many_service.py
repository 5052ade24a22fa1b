"""The whole service, as root starts it, with the machine's own accounts and a directory beside each other."""

from __future__ import annotations

import json
import pwd
import subprocess

import pytest
from tests.conftest import remove_account, wait_until
from tests.integration.auth.hub import Browser, told
from tests.integration.auth.slapd import BASE, HUB, HUB_PASSWORD, MISSING, Slapd

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils"),
]
YAML = """\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth:
  kind: many
  ways:
    here: {{kind: pam, allow: all}}
    staff:
      kind: ldap
      servers: ["{server}"]
      ca: {{ca}}
      search: {{base: "ou=people,{base}", account: "{hub}"}}
      allow: all
      look_every: 1s
"""


@pytest.fixture
def slapd(tmp_path):
    server = Slapd(tmp_path).start()
    yield server
    server.stop()


def test_nobody_of_the_directory_comes_by_an_account_of_the_machine(slapd, service, account):
    """Though root serves all accounts here; only a link makes one person of the two."""
    local, name = account(), "hwt-many-eve"
    slapd.add_person(local.name, "from the directory")
    slapd.add_person(name, "eve's")
    running = service(YAML.format(server=slapd.ldaps, base=BASE, hub=HUB))
    browsers = []

    def enters(way, who, password):
        browsers.append(Browser(running.url))
        return browsers[-1].submit("/hub/login", f"/hub/login/{way}?next=", username=who, password=password)

    try:
        ca = running.folder / "ca.pem"
        ca.write_bytes(slapd.ca.read_bytes())
        ca.chmod(0o644)
        running.yaml = running.yaml.replace("{ca}", str(ca))
        (running.folder / "hub.yaml").write_text(running.yaml)
        argv = running.command("secret", "staff.password")
        subprocess.run(argv, input=HUB_PASSWORD, capture_output=True, text=True, check=True, timeout=90)
        checked = json.loads(running.cli("check", "login", name, "--json").stdout)["ways"]
        assert [checked["here"]["allowed"], checked["staff"]["allowed"]] == [False, True]
        running.up(wait=180)
        page = enters("staff", local.name, "from the directory")
        assert (page.status_code, f"an account of this machine: here:{local.name}" in told(page)) == (403, True)
        assert enters("staff", name, "eve's").status_code == 302, running.logs()
        assert pwd.getpwnam(name).pw_uid < 20000, "the table's numbers are not for logins"
        assert enters("here", local.name, local.password).status_code == 302
        running.start(local.name)
        page = enters("staff", local.name, "from the directory")
        assert (page.status_code, f"here:{local.name}" in told(page)) == (403, True)

        slapd.remove(name)
        wait_until(lambda: browsers[1].who() is None, 30)
        assert browsers[2].who() == local.name

        running.down()
        links = f'  links: {{{local.name}: ["here:{local.name}", "staff:{local.name}"]}}\n'
        running.yaml += links
        running.up(wait=180)
        assert enters("staff", local.name, "from the directory").status_code == 302
        assert browsers[-1].who() == local.name
    finally:
        for browser in browsers:
            browser.client.close()
        running.clean()
        remove_account(name)
