"""The login page of several ways, by Chromium: a directory, a provider, and passwords of the hub's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Person, at_provider
from tests.conftest import remove_account
from tests.integration.auth import openid
from tests.integration.auth.openid import OpenIDProvider
from tests.integration.auth.slapd import BASE, HUB, HUB_PASSWORD, MISSING, Slapd
from tests.running import Service, port

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils"),
]
NAMES = ("hwt-many-ada", "hwt-many-bob", "hwt-many-guest")
YAML = """\
hub: {{name: Research, listen: "127.0.0.1:{{port}}", landing: home}}
auth:
  kind: many
  ways:
    staff:
      kind: ldap
      label: your institute's password
      servers: ["{ldap}"]
      ca: {{ca}}
      search: {{base: "ou=people,{base}", account: "{hub}"}}
      allow: all
    partners: {{kind: oidc, label: your partner account, issuer: "{issuer}", client_id: hub, allow: all}}
    guests: {{kind: first_use, label: a password of this hub}}
  listed: guests
"""


@pytest.fixture
def hub(service: Callable[..., Service], tmp_path: Path) -> Iterator[Service]:
    folder = openid.packages()
    if folder is None:
        pytest.skip("needs node and npm: apt install nodejs npm")
    slapd = Slapd(tmp_path).start()
    running = service("")
    callback = f"http://127.0.0.1:{running.port}/hub/oauth_callback/partners"
    provider = OpenIDProvider(folder, port(), callback).start()
    try:
        slapd.add_person(NAMES[0], "ada's password")
        provider.change(3, name=NAMES[1])
        provider.change(1, name=NAMES[0])
        text = YAML.format(ldap=slapd.ldaps, base=BASE, hub=HUB, issuer=provider.issuer)
        ca = running.folder / "ca.pem"
        ca.write_bytes(slapd.ca.read_bytes())
        ca.chmod(0o644)
        running.yaml = text.replace("{port}", str(running.port)).replace("{ca}", str(ca))
        (running.folder / "hub.yaml").write_text(running.yaml)
        for name, secret in (("staff.password", HUB_PASSWORD), ("partners.secret", openid.SECRET)):
            argv = running.command("secret", name)
            subprocess.run(argv, input=secret, capture_output=True, text=True, check=True, timeout=90)
        yield running.up()
    finally:
        running.clean()
        provider.stop()
        slapd.stop()
        for name in NAMES:
            remove_account(name)


@pytest.mark.timeout(300)
def test_each_logs_in_his_own_way(hub: Service, person: Callable[[Service], Person]) -> None:
    """By its form or its button; a namesake from elsewhere is told of both; only who has a password here may change it."""
    link = hub.cli("user", "add", NAMES[2]).stdout.split()[-1]
    ada, bob, guest = person(hub), person(hub), person(hub)
    for one in (ada, bob, guest):
        one.elsewhere = r"http://localhost:\d+/"
    page = ada.open("/")
    assert page.locator("[data-way]").evaluate_all("all => all.map(one => one.dataset.way)") == [
        "staff",
        "partners",
        "guests",
    ]
    expect(page.locator("#username-staff")).to_be_focused()
    ada.picture("login-many")
    page.fill("#username-staff", NAMES[0])
    page.fill("#password-staff", "not this")
    page.press("#password-staff", "Enter")
    expect(page.locator(".login_error")).to_have_text("Wrong user name or password.")
    assert page.input_value("#username-staff") == NAMES[0]
    ada.picture("login-many-wrong")
    ada.forget("403")
    page.fill("#password-staff", "ada's password")
    page.press("#password-staff", "Enter")
    page.wait_for_url("**/hub/home")
    assert page.locator("text=Password").count() == 0

    page = bob.open("/")
    page.locator("[data-way=partners]").click()
    at_provider(page, NAMES[1], "bob's")
    page.wait_for_url("**/hub/home")
    assert NAMES[1] in page.content()

    page = guest.page
    page.goto(link)
    page.fill("#password", "a password of mine")
    page.fill("#again", "a password of mine")
    page.press("#again", "Enter")
    page.wait_for_url("**/hub/home")
    expect(page.locator("a[href$='auth/change-password']")).to_have_count(1)
    page.goto(f"{hub.url}/hub/logout")
    page.goto(f"{hub.url}/hub/login")
    page.fill("#username-guests", NAMES[2])
    page.fill("#password-guests", "a password of mine")
    page.press("#password-guests", "Enter")
    page.wait_for_url("**/hub/home")

    page.goto(f"{hub.url}/hub/logout")
    page.goto(f"{hub.url}/hub/login")
    page.locator("[data-way=partners]").click()
    at_provider(page, NAMES[0], "ada's")
    told = f'partners:{NAMES[0]} would be "{NAMES[0]}", which is staff:{NAMES[0]} already'
    expect(page.locator(".login_error")).to_contain_text(told)
    guest.picture("login-many-namesake")
    guest.forget("403")
