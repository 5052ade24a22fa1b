"""Logging in to a real hub with the passwords of a real OpenLDAP server."""

from __future__ import annotations

import httpx
import pytest
from tests.conftest import wait_until
from tests.integration.auth.hub import told
from tests.integration.auth.outside import hub_of, secret
from tests.integration.auth.slapd import BASE, HUB, HUB_PASSWORD, MISSING, PEOPLE, Slapd

from hubwright.auth import ldap

pytestmark = pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils")


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    server = Slapd(tmp_path_factory.mktemp("slapd")).start()
    yield server
    server.stop()


@pytest.fixture
def make(tmp_path, free_port, slapd):
    """Make and start the one hub of a test."""
    made = []

    def start(listed=(), **section):
        secret(tmp_path, "ldap.password", HUB_PASSWORD)
        section = {
            "servers": [slapd.ldaps],
            "ca": str(slapd.ca),
            "search": {"base": f"ou=people,{BASE}", "account": HUB},
            "groups": {"base": f"ou=groups,{BASE}"},
            "timeout": 2,
            "look_every": 1,
        } | section
        made.append(hub_of(ldap, ldap.Config(**section), tmp_path, free_port, listed))
        made[-1].start()
        return made[-1]

    yield start
    for hub in made:
        hub.stop()


def user(hub, name):
    return hub.api("GET", f"users/{name}").json()


def test_who_may_enter_is_decided_by_lists_and_groups(make):
    """And groups of the directory are groups of the hub; the log tells the admin, the page tells the person."""
    hub = make(allow={"groups": ["lab"], "users": ["bob"]}, admin_groups=["teachers"])
    ada = hub.browser()
    assert ada.login("ada", PEOPLE["ada"]).status_code == 302
    assert ada.who() == "ada"
    assert (user(hub, "ada")["admin"], sorted(user(hub, "ada")["groups"])) == (True, ["lab", "teachers"])
    assert hub.browser().login("BOB", PEOPLE["bob"]).status_code == 302
    assert (user(hub, "bob")["admin"], user(hub, "bob")["groups"]) == (False, ["guests"])
    irish = hub.browser()
    assert irish.login("O'Brien", PEOPLE["O'Brien"]).status_code == 302
    assert irish.who() == "o-brien"
    stranger = hub.browser().login("jose", PEOPLE["jose"])
    assert stranger.status_code == 403
    assert "in none of the groups" in told(stranger)
    assert "none of the groups lab, teachers" in hub.log.read_text()
    wrong = hub.browser().login("ada", "wrong")
    assert (wrong.status_code, told(wrong)) == (403, "Wrong user name or password.")
    for name, password in (
        ("", "x"),
        ("ada", ""),
        ("*", PEOPLE["ada"]),
        ("ada)(uid=*", PEOPLE["ada"]),
        ("x" * 999, "x"),
    ):
        assert hub.browser().login(name, password).status_code == 403
    assert PEOPLE["ada"] not in hub.log.read_text()
    assert HUB_PASSWORD not in hub.log.read_text()


def test_nobody_is_let_in_by_default_and_admins_of_hub_yaml_are_admins(make):
    hub = make(listed=("ada",))
    assert "not on the list" in told(hub.browser().login("bob", PEOPLE["bob"]))
    assert hub.browser().login("ada", PEOPLE["ada"]).status_code == 302
    assert user(hub, "ada")["admin"] is True


def test_who_leaves_the_group_loses_session_token_and_server_at_once(make, slapd):
    hub = make(allow={"groups": ["lab"]})
    ada = hub.browser()
    ada.login("ada", PEOPLE["ada"])
    token = hub.api("POST", "users/ada/tokens", note="mine").json()["token"]
    mine = {"Authorization": f"token {token}"}
    assert httpx.get(f"{hub.url}/hub/api/user", headers=mine).status_code == 200
    assert hub.api("POST", "users/ada/server").status_code in {201, 202}
    wait_until(lambda: user(hub, "ada").get("servers", {}).get("", {}).get("ready"), 90)
    slapd.leave("ada", "lab")
    try:
        wait_until(lambda: not user(hub, "ada")["servers"], 60)
        assert httpx.get(f"{hub.url}/hub/api/user", headers=mine).status_code == 403
        assert ada.who() is None
        assert user(hub, "ada")["groups"] == []
        assert ada.login("ada", PEOPLE["ada"]).status_code == 403
    finally:
        slapd.join("ada", "lab")
    assert hub.browser().login("ada", PEOPLE["ada"]).status_code == 302
    assert "in none of the groups lab" in hub.log.read_text()


def test_a_time_of_grace_is_kept_but_no_new_login(make, slapd):
    hub = make(allow={"groups": ["lab"]}, grace=8)
    ada = hub.browser()
    ada.login("ada", PEOPLE["ada"])
    hub.api("POST", "users/ada/tokens", note="mine")
    slapd.leave("ada", "lab")
    try:
        assert hub.browser().login("ada", PEOPLE["ada"]).status_code == 403
        assert ada.who() == "ada"
        wait_until(lambda: ada.who() is None, 60)
        wait_until(lambda: not hub.api("GET", "users/ada/tokens").json()["api_tokens"], 30)
    finally:
        slapd.join("ada", "lab")


def test_a_directory_that_is_down_keeps_new_logins_out_and_nobody_in_is_thrown_out(make, slapd):
    hub = make(allow="all")
    ada = hub.browser()
    ada.login("ada", PEOPLE["ada"])
    slapd.stop()
    try:
        page = hub.browser().login("bob", PEOPLE["bob"])
        assert (page.status_code, "does not answer" in told(page)) == (403, True)
        assert "cannot be reached" in hub.log.read_text()
        wait_until(lambda: "stays as it was" in hub.log.read_text() or ada.who() is None, 30)
        assert ada.who() == "ada"
    finally:
        slapd.start()
    assert hub.browser().login("bob", PEOPLE["bob"]).status_code == 302


def test_guessing_is_slowed_for_name_and_address(make):
    hub = make(allow="all")
    for _ in range(5):
        assert told(hub.browser().login("ada", "wrong")) == "Wrong user name or password."
    page = hub.browser().login("ada", PEOPLE["ada"])
    assert (page.status_code, "Too many failed attempts" in told(page)) == (403, True)
    assert "Too many" in told(hub.browser().login("ADA", PEOPLE["ada"]))
    assert hub.browser().login("bob", PEOPLE["bob"]).status_code == 302


def test_a_changed_hub_yaml_takes_people_out_when_the_hub_starts(make, slapd):
    hub = make(allow={"users": ["ada", "bob"]})
    ada = hub.browser()
    ada.login("ada", PEOPLE["ada"])
    hub.api("POST", "users/ada/tokens", note="mine")
    settings = hub.folder / "settings.json"
    settings.write_text(settings.read_text().replace('"ada", "bob"', '"bob"'))
    cookies = dict(ada.client.cookies)
    hub.stop()
    hub.start()
    wait_until(lambda: not hub.api("GET", "users/ada/tokens").json()["api_tokens"], 30)
    again = hub.browser()
    again.client.cookies.update(cookies)
    assert again.who() is None


def test_a_namesake_does_not_come_by_the_name(make, slapd):
    """Somebody is deleted, and another gets the same name: home and files stay the first one's until told otherwise."""
    slapd.add_person("eve", "first")
    hub = make(allow="all")
    assert hub.browser().login("eve", "first").status_code == 302
    slapd.remove("eve")
    slapd.add_person("eve", "second")
    try:
        page = hub.browser().login("eve", "second")
        assert page.status_code == 403
        assert "which is ldap:eve already" in told(page)
    finally:
        slapd.remove("eve")


def test_an_admin_adds_people_by_name(make):
    hub = make()
    assert hub.browser().login("bob", PEOPLE["bob"]).status_code == 403
    assert hub.api("POST", "users/bob").status_code == 201
    bob = hub.browser()
    assert bob.login("bob", PEOPLE["bob"]).status_code == 302
    assert hub.api("DELETE", "users/bob").status_code == 204
    assert hub.browser().login("bob", PEOPLE["bob"]).status_code == 403
