"""Asking a real OpenLDAP server: every way to connect, to find people, and to be refused."""

from __future__ import annotations

import socket
import time

import pytest
from tests.integration.auth.slapd import BASE, HUB, HUB_PASSWORD, MISSING, PEOPLE, Slapd, entry
from tests.running import port

from hubwright.auth.ldap.config import Config
from hubwright.auth.ldap.directory import Directory, WrongPassword
from hubwright.errors import HubwrightError, MachineError, NotRunning, Refused

pytestmark = pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils")

GROUPS = {"base": f"ou=groups,{BASE}"}
SEARCH = {"base": f"ou=people,{BASE}", "account": HUB}
TEMPLATE = {"bind": f"uid={{username}},ou=people,{BASE}"}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    server = Slapd(tmp_path_factory.mktemp("slapd")).start()
    yield server
    server.stop()


def directory(slapd, how="ldaps", password=HUB_PASSWORD, **section):
    servers = {"plain": slapd.ldap, "starttls": slapd.ldap, "ldaps": slapd.ldaps}
    section = {"servers": [servers[how]], "ca": str(slapd.ca), "groups": GROUPS, "timeout": 3} | section
    if "bind" not in section:
        section.setdefault("search", SEARCH)
    return Directory(Config(tls="none" if how == "plain" else "start", **section), password)


@pytest.mark.parametrize("how", ["plain", "starttls", "ldaps"])
@pytest.mark.parametrize("way", [{}, TEMPLATE], ids=["search", "template"])
def test_the_right_password_gives_name_groups_and_an_id_that_stays(slapd, how, way):
    person = directory(slapd, how, **way).login("ada", PEOPLE["ada"])
    assert (person.login, person.groups) == ("ada", {"lab", "teachers"})
    assert person.subject.startswith("entryUUID=")
    assert person == directory(slapd).login("ADA", PEOPLE["ada"])
    assert directory(slapd, how, **way).login("O'Brien", PEOPLE["O'Brien"]).groups == {"lab"}
    assert directory(slapd, how, **way).login("jose", PEOPLE["jose"]).groups == set()


@pytest.mark.parametrize("way", [{}, TEMPLATE], ids=["search", "template"])
@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong"),
        ("ada", ""),
        ("ada", " "),
        ("ada", "ada's password\0"),
        ("ada", "ada's password "),
        ("nobody", "x"),
        ("*", PEOPLE["ada"]),
        ("ad*", PEOPLE["ada"]),
        ("ada)(uid=*", PEOPLE["ada"]),
        ("*)(|(uid=*", PEOPLE["ada"]),
        ("ada,ou=people,dc=example,dc=org", PEOPLE["ada"]),
        ("bob,ou=people,dc=example,dc=org+uid=ada", PEOPLE["ada"]),
        ("ada\\", PEOPLE["ada"]),
        ("a" * 300, "x"),
        ("{dn}", "x"),
        ("\\2a", PEOPLE["ada"]),
    ],
)
def test_wrong_empty_and_injected_input_is_refused(slapd, way, name, password):
    with pytest.raises(WrongPassword):
        directory(slapd, **way).login(name, password)


def test_a_person_is_looked_up_without_a_password(slapd):
    found = directory(slapd).find("bob")
    assert found is not None
    assert found.groups == {"guests"}
    assert directory(slapd).find("nobody") is None
    with pytest.raises(Refused, match="template"):
        directory(slapd, **TEMPLATE).find("bob")


def test_groups_follow_the_directory(slapd):
    slapd.leave("ada", "teachers")
    try:
        assert directory(slapd).login("ada", PEOPLE["ada"]).groups == {"lab"}
    finally:
        slapd.join("ada", "teachers")
    assert directory(slapd).login("ada", PEOPLE["ada"]).groups == {"lab", "teachers"}


def test_several_templates_are_tried_in_turn(slapd):
    several = {"bind": [f"uid={{username}},ou=staff,{BASE}", TEMPLATE["bind"]]}
    assert directory(slapd, **several).login("bob", PEOPLE["bob"]).login == "bob"


def test_the_next_server_is_asked_when_one_is_silent(slapd):
    """One refuses connections, one accepts and says nothing; each costs its time and no more."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        silent = [f"ldap://localhost:{port()}", f"ldap://localhost:{mute.getsockname()[1]}"]
        began = time.monotonic()
        person = directory(slapd, servers=[*silent, slapd.ldaps], timeout=1).login("ada", PEOPLE["ada"])
        assert person.login == "ada"
        assert time.monotonic() - began < 15
        with pytest.raises(NotRunning, match=str(mute.getsockname()[1])):
            directory(slapd, servers=silent, timeout=1).login("ada", PEOPLE["ada"])


def test_a_wrong_password_is_not_tried_at_the_next_server(slapd):
    with pytest.raises(WrongPassword):
        directory(slapd, servers=[slapd.ldaps, f"ldap://localhost:{port()}"], timeout=1).login("ada", "wrong")


@pytest.mark.parametrize("how", ["starttls", "ldaps"])
def test_a_server_with_a_certificate_of_somebody_else_gets_no_password(slapd, how):
    for ca in (slapd.other_ca, None):
        with pytest.raises(MachineError, match="cannot be trusted"):
            directory(slapd, how, ca=str(ca) if ca else None).login("ada", PEOPLE["ada"])
    wrong = {"servers": [slapd.ldaps.replace("localhost", "127.0.0.1")]}
    with pytest.raises(MachineError, match="cannot be trusted"):  # the certificate is of localhost
        directory(slapd, **wrong).login("ada", PEOPLE["ada"])


def test_the_search_account_that_is_not_let_in_is_told(slapd):
    with pytest.raises(MachineError, match="search account") as told:
        directory(slapd, password="old one").login("ada", PEOPLE["ada"])
    assert "hubwright secret ldap.password" in str(told.value)
    assert "old one" not in str(told.value)


def test_a_filter_that_finds_two_is_told(slapd):
    with pytest.raises(Refused, match="several entries"):
        directory(slapd, search={**SEARCH, "filter": "(|(uid={username})(uid=bob))"}).find("ada")


def test_probing_says_of_each_server_what_is_wrong(slapd):
    closed = f"ldap://localhost:{port()}"
    found = directory(slapd, servers=[closed, slapd.ldaps, slapd.ldap], timeout=1).probe()
    assert isinstance(found[closed], NotRunning)
    assert found[slapd.ldaps] is None
    assert found[slapd.ldap] is None
    (error,) = directory(slapd, search={**SEARCH, "base": f"ou=peeple,{BASE}"}).probe().values()
    assert isinstance(error, HubwrightError)
    assert "ou=peeple" in str(error)
    assert directory(slapd, **TEMPLATE).probe() == {slapd.ldaps: None}


def test_who_is_deleted_is_not_found_and_a_namesake_has_another_id(slapd):
    slapd.add_person("eve", "first")
    first = directory(slapd).find("eve")
    slapd.remove("eve")
    assert directory(slapd).find("eve") is None
    slapd.add_person("eve", "second")
    second = directory(slapd).find("eve")
    slapd.remove("eve")
    assert first is not None
    assert second is not None
    assert first.subject != second.subject
    assert entry("eve").startswith("uid=eve")
