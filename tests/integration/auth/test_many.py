"""A real hub with several ways to log in at once: OpenLDAP, a certified OpenID provider, and passwords of its own."""

from __future__ import annotations

import re

import pytest
from tests.conftest import wait_until
from tests.integration.auth import openid
from tests.integration.auth.hub import told
from tests.integration.auth.openid import OpenIDProvider
from tests.integration.auth.outside import hub_of, secret
from tests.integration.auth.slapd import BASE, HUB, HUB_PASSWORD, MISSING, PEOPLE, Slapd
from tests.integration.auth.test_oidc import to_callback
from tests.running import port

from hubwright.auth import many

pytestmark = pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils")


@pytest.fixture
def slapd(tmp_path):
    server = Slapd(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def provider(free_port):
    folder = openid.packages()
    if folder is None:
        pytest.skip("needs node and npm: apt install nodejs npm")
    callback = f"http://127.0.0.1:{free_port}/hub/oauth_callback/partners"
    running = OpenIDProvider(folder, port(), callback).start()
    yield running
    running.stop()


@pytest.fixture
def make(tmp_path, free_port, slapd, provider):
    """Make and start the one hub of a test; `staff` and `partners` change those ways, the rest the whole section."""
    made = []

    def start(listed=(), staff=None, partners=None, **section):
        for name, text in (
            ("staff.password", HUB_PASSWORD),
            ("partners.secret", openid.SECRET),
            ("other.secret", "x"),
        ):
            secret(tmp_path, name, text)
        directory = {
            "kind": "ldap",
            "servers": [slapd.ldaps],
            "ca": str(slapd.ca),
            "search": {"base": f"ou=people,{BASE}", "account": HUB},
            "groups": {"base": f"ou=groups,{BASE}"},
            "allow": {"groups": ["lab", "guests"]},
            "look_every": 1,
        }
        elsewhere = {"kind": "oidc", "client_id": "hub", "issuer": provider.issuer, "allow": "all", "look_every": 1}
        ways = {
            "staff": directory | (staff or {}),
            "partners": elsewhere | (partners or {}),
            "other": {"kind": "github", "client_id": "x", "label": "the <b>forge</b>"},
            "guests": {"kind": "first_use"},
        }
        config = many.Config(**{"ways": ways, "listed": "guests"} | section)
        made.append(hub_of(many, config, tmp_path, free_port, listed))
        made[-1].start()
        return made[-1]

    yield start
    for hub in made:
        hub.stop()


def typed(hub, way, name, password):
    browser = hub.browser()
    return browser, browser.submit("/hub/login", f"/hub/login/{way}?next=", username=name, password=password)


def at_provider(hub, name, password):
    browser = hub.browser()
    return browser, browser.client.get(to_callback(hub, browser, name, password, "/partners"))


def user(hub, name):
    return hub.api("GET", f"users/{name}").json()


def guest(hub, name, password):
    """Add somebody as an admin does, and have him choose a password."""
    assert hub.api("POST", f"users/{name}").status_code == 201
    browser = hub.browser()
    return browser, browser.claim(hub.link(name), password)


def test_each_way_has_its_place_on_one_page(make):
    hub = make()
    page = hub.browser().get("/hub/login").text
    assert re.findall(r'data-way="(\w+)"', page) == ["staff", "partners", "other", "guests"]
    assert 'action="/hub/login/staff"' in page
    assert 'href="/hub/oauth_login/partners"' in page
    assert "Sign in with the &lt;b&gt;forge" in page
    assert "one-time link" in page
    assert 'href="/hub/oauth_login/partners?next=%2Fhub%2Fhome"' in hub.browser().get("/hub/login?next=/hub/home").text
    assert hub.browser().get("/hub/login/staff").headers["Location"] == "/hub/login"
    assert (
        told(hub.browser().submit("/hub/login", "/hub/login", username="x", password="y")) == "Choose how to sign in."
    )
    assert hub.browser().get("/hub/oauth_login/nobody").status_code == 404


def test_the_same_name_from_two_ways_is_two_people(make):
    """Whoever comes first has it, and the other is told of both; by whichever way."""
    hub = make()
    ada, page = typed(hub, "staff", "ada", PEOPLE["ada"])
    assert (page.status_code, ada.who()) == (302, "ada")
    assert sorted(user(hub, "ada")["groups"]) == ["lab", "teachers"]
    browser, page = at_provider(hub, "ada", "ada's")
    assert (page.status_code, browser.who()) == (403, None)
    assert 'partners:ada would be "ada", which is staff:ada already' in told(page)
    assert 'names link ada partners:ada"' in told(page)
    answer = hub.api("POST", "hubwright/people/ada/link")
    assert (answer.status_code, '"ada" is staff:ada already' in answer.json()["message"]) == (409, True)
    browser, page = at_provider(hub, "bob", "bob's")
    assert (page.status_code, browser.who()) == (302, "bob")
    _, page = typed(hub, "staff", "bob", PEOPLE["bob"])
    assert (page.status_code, 'staff:bob would be "bob", which is partners:bob already' in told(page)) == (403, True)


def test_a_guest_has_the_name_from_the_link_on(make):
    hub = make()
    assert hub.api("POST", "users/bob").status_code == 201
    link = hub.link("bob")
    for page in (typed(hub, "staff", "bob", PEOPLE["bob"])[1], at_provider(hub, "bob", "bob's")[1]):
        assert (page.status_code, 'would be "bob", which is kept for guests:bob' in told(page)) == (403, True)
    bob = hub.browser()
    assert bob.claim(link, "a password of mine").status_code == 302
    assert bob.who() == "bob"
    assert "change-password" in bob.get("/hub/home").text
    again, page = typed(hub, "guests", "bob", "a password of mine")
    assert (page.status_code, again.who()) == (302, "bob")
    assert typed(hub, "staff", "bob", "a password of mine")[1].status_code == 403
    hub.api("DELETE", "users/bob")
    assert (typed(hub, "guests", "bob", "a password of mine")[1].status_code, bob.who()) == (403, None)


def test_linked_on_purpose_is_one_person(make):
    """By each way the same name; what a list says of one way's identity holds for the other; unlinked, it is over."""
    links = {"ada": ["guests:ada", "staff:ada", "partners:ada"]}
    hub = make(listed=("ada",), links=links, staff={"allow": "nobody"}, partners={"allow": "nobody"})
    _, page = typed(hub, "staff", "bob", PEOPLE["bob"])
    assert page.status_code == 403
    _, page = typed(hub, "staff", "ada", PEOPLE["ada"])
    assert (page.status_code, "not on the list" in told(page)) == (403, True), "guests:ada has no password yet"
    assert hub.browser().claim(hub.link("ada"), "a password of mine").status_code == 302
    for browser, page in (
        typed(hub, "staff", "ada", PEOPLE["ada"]),
        at_provider(hub, "ada", "ada's"),
        typed(hub, "guests", "ada", "a password of mine"),
    ):
        assert (page.status_code, browser.who()) == (302, "ada"), told(page)
        assert user(hub, "ada")["admin"] is True
    hub.stop()
    settings = hub.folder / "settings.json"
    settings.write_text(settings.read_text().replace('"staff:ada", ', ""))
    hub.start()
    _, page = typed(hub, "staff", "ada", PEOPLE["ada"])
    assert (page.status_code, "not on the list" in told(page)) == (403, True)


def test_who_is_taken_out_of_one_way_is_out_and_others_stay(make, slapd, provider):
    hub = make(staff={"grace": "4s"}, partners={"allow": {"groups": ["lab"]}})
    ada, _ = at_provider(hub, "ada", "ada's")
    bob, _ = typed(hub, "staff", "bob", PEOPLE["bob"])
    assert (ada.who(), bob.who()) == ("ada", "bob")
    carol, _ = guest(hub, "carol", "a password of mine")
    provider.change(1, groups=["new"])
    wait_until(lambda: ada.who() is None, 20)
    slapd.leave("bob", "guests")
    wait_until(lambda: typed(hub, "staff", "bob", PEOPLE["bob"])[1].status_code == 403, 20)
    wait_until(lambda: bob.who() is None, 20)
    assert carol.who() == "carol"


def test_guessing_is_slow_at_each_form(make):
    hub = make()
    guest(hub, "carol", "a password of mine")
    for way, name in (("staff", "ada"), ("guests", "carol")):
        pages = [typed(hub, way, name, "wrong")[1] for _ in range(6)]
        assert [page.status_code for page in pages] == [403] * 6
        assert "Too many failed attempts" in told(pages[-1])
        assert "Wrong user name or password" in told(pages[0])


def test_a_callback_is_taken_by_its_own_provider_only(make):
    """What began at one provider cannot end at another's address, whoever sends the browser there."""
    hub = make()
    browser = hub.browser()
    address = to_callback(hub, browser, "ada", "ada's", "/partners")
    page = browser.client.get(address.replace("/oauth_callback/partners", "/oauth_callback/other"))
    assert (page.status_code, browser.who()) == (400, None)
    assert "began at another provider" in hub.log.read_text()


def test_a_silent_provider_is_told_on_the_page_of_all_ways(make, provider):
    provider.stop()
    hub = make()
    page = hub.browser().get("/hub/oauth_login/partners")
    assert (page.status_code, "does not answer" in told(page)) == (503, True)
    assert 'data-way="staff"' in page.text
    assert typed(hub, "staff", "ada", PEOPLE["ada"])[1].status_code == 302
    provider.start()
