"""`hubwright user` and logging in, with the whole service that root started."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.conftest import wait_until
from tests.integration.auth.hub import Browser, told

from hubwright.machine.policy import find_account, group_names

pytestmark = pytest.mark.root
GOOD = "correct horse"
BETTER = "battery staple"


YAML = """\
hub:
  listen: "127.0.0.1:{port}"
  admins: [%s]
"""
PAM = (
    YAML % ""
    + """\
auth:
  kind: pam
  allow: {groups: [hwt-lab]}
  admin_groups: [hwt-boss]
"""
)


def set_password(service, name, password):
    command = service.command("user", "passwd", name, "--stdin")
    return subprocess.run(command, input=f"{password}\n", capture_output=True, text=True, timeout=60)


def test_people_come_and_go_by_the_command(service, names, account):
    """From the admin's first link to a person's removal; an account that exists is joined, a sudoer is not."""
    admin, person, other = names
    existing, sudoer = account(), account(groups=["sudo"])
    service = service(YAML % admin)
    browser = Browser(service.url)
    try:
        service.up()
        wait_until(lambda: f"user={admin}" in service.output())
        printed = re.search(rf"http\S*user={admin}&token=\S+", service.output())[0]
        assert browser.claim(dict(httpx.URL(printed).params), GOOD).status_code == 302
        assert find_account(admin) is not None

        nobody = service.cli("token", other, check=False)
        assert (nobody.returncode, nobody.stdout) == (77, "")
        assert f'There is no "{other}" here.' in nobody.stderr
        added = json.loads(service.cli("user", "add", person, person, other, "--json").stdout)
        assert [(row["name"], row["added"], row["account_made"]) for row in added] == [
            (person, True, True),
            (other, True, True),
        ]
        assert "hubwright-users" in group_names(find_account(person))
        link = dict(httpx.URL(added[0]["link"]).params)
        assert browser.claim(link, GOOD).status_code == 302

        joined = service.cli("user", "add", existing.name, "--admin").stdout
        assert f"{existing.name} is in" in joined
        assert "hubwright-users" in group_names(find_account(existing.name))
        for refused in (sudoer.name, "root", "daemon", "No Name"):
            done = service.cli("user", "add", refused, check=False)
            assert done.returncode == 77, done.stderr
        assert "hubwright-users" not in group_names(find_account(sudoer.name))

        people = {row["name"]: row for row in json.loads(service.cli("user", "list", "--json").stdout)}
        assert {name: (row["admin"], row["state"]) for name, row in people.items() if name.startswith("hwt-")} == {
            admin: (True, "claimed"),
            person: (False, "claimed"),
            other: (False, "unclaimed"),
            existing.name: (True, "unclaimed"),
        }
        assert "has a password" in service.cli("user", "list").stdout
        assert service.cli("user", "link", person).stdout.startswith(service.url)
        assert browser.login(person, GOOD).status_code == 403  # the new link took it
        link = dict(httpx.URL(service.cli("user", "link", person).stdout.strip()).params)
        assert browser.claim(link, GOOD).status_code == 302

        service.start(person)
        assert browser.who() == person
        done = set_password(service, person, BETTER)
        assert (done.returncode, done.stdout) == (0, f"The password of {person} is set.\n"), done.stderr
        assert browser.who() is None, "the session from before the new password"
        assert service.listed() != [], "a server goes on"
        browser.client.cookies.clear()
        assert browser.login(person, GOOD).status_code == 403
        assert browser.login(person, BETTER).status_code == 302
        assert browser.who() == person
        assert service.cli("user", "remove", person, check=False).returncode != 0
        service.cli("user", "remove", person, "--yes")
        assert service.api("GET", f"/users/{person}").status_code == 404
        assert service.listed() == []
        assert "hubwright-users" not in group_names(find_account(person))
        assert Path(find_account(person).pw_dir).is_dir()
        assert service.cli("user", "remove", person, "--yes", check=False).returncode == 77
        service.down()
        assert "stays so" in set_password(service, admin, BETTER).stdout, "the hub does not run"
    finally:
        browser.client.close()
        service.clean()
    done = service.cli("user", "list", check=False)
    assert done.returncode == 69
    assert "Traceback" not in done.stderr


def test_unix_accounts_log_in_through_pam(service, account):
    """Allowed by group, an admin by group; not allowed; the right password of a sudoer; root."""
    subprocess.run(["groupadd", "hwt-lab"], check=True)
    subprocess.run(["groupadd", "hwt-boss"], check=True)
    ada, boss, stranger = account(groups=["hwt-lab"]), account(groups=["hwt-boss"]), account()
    sudoer = account(groups=["hwt-lab", "sudo"])
    service = service(PAM)
    browsers = {person.name: Browser(service.url) for person in (ada, boss, stranger, sudoer)}
    try:
        service.up()
        for person in (ada, boss):
            page = browsers[person.name].login(person.name, person.password)
            assert page.status_code == 302, told(page)
            assert browsers[person.name].who() == person.name
        assert service.api("GET", f"/users/{ada.name}").json()["admin"] is False
        assert service.api("GET", f"/users/{boss.name}").json()["admin"] is True
        for person in (stranger, sudoer):
            page = browsers[person.name].login(person.name, person.password)
            assert (page.status_code, "may not use the hub" in told(page)) == (403, True)
        browser = browsers[stranger.name]
        for name, word in ((ada.name, "wrong"), (ada.name.upper(), ada.password), (str(ada.uid), ada.password)):
            assert "Wrong user name or password" in told(browser.login(name, word))
        assert "Type" in told(browser.submit("/hub/login", "/hub/login", username=ada.name))
        assert service.start(ada.name).pid
        service.stop(ada.name)

        service.cli("user", "add", stranger.name)
        assert browsers[stranger.name].login(stranger.name, stranger.password).status_code == 302
        assert service.api("DELETE", f"/users/{stranger.name}").status_code == 204
        assert "hubwright-users" not in group_names(find_account(stranger.name))
        browsers[stranger.name].client.cookies.clear()
        assert browsers[stranger.name].login(stranger.name, stranger.password).status_code == 403
        assert service.api("GET", f"/users/{stranger.name}").status_code == 404
    finally:
        for browser in browsers.values():
            browser.client.close()
        service.clean()
        subprocess.run(["groupdel", "hwt-lab"], check=True)
        subprocess.run(["groupdel", "hwt-boss"], check=True)
