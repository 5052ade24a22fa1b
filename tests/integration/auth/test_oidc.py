"""Logging in to a real hub at a certified OpenID provider."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest
from tests.conftest import wait_until
from tests.integration.auth import openid
from tests.integration.auth.hub import told
from tests.integration.auth.openid import OpenIDProvider
from tests.integration.auth.outside import hub_of, secret, site_of
from tests.running import port

from hubwright.auth import google, oauth_section, oidc


@pytest.fixture(scope="module")
def where():
    folder = openid.packages()
    if folder is None:
        pytest.skip("needs node and npm: apt install nodejs npm")
    return folder


@pytest.fixture
def provider(where, free_port):
    """A provider for the hub on `free_port`."""
    running = OpenIDProvider(where, port(), f"http://127.0.0.1:{free_port}/hub/oauth_callback").start()
    yield running
    running.stop()


@pytest.fixture
def make(tmp_path, free_port, provider):
    """Make and start the one hub of a test."""
    made = []

    def start(client_secret=openid.SECRET, listed=(), **section):
        secret(tmp_path, "oidc.secret", client_secret)
        section = {"client_id": "hub", "issuer": provider.issuer, "look_every": 1} | section
        made.append(hub_of(oidc, oidc.Config(**section), tmp_path, free_port, listed))
        made[-1].start()
        return made[-1]

    yield start
    for hub in made:
        hub.stop()


def to_callback(hub, browser, name, password, way=""):
    """Press the button and log in at the provider; return the address to which the provider sends the browser."""
    page = browser.get("/hub/login")
    assert "Sign in with" in page.text
    answer = browser.get(f"/hub/oauth_login{way}")
    elsewhere = browser.client
    for _ in range(12):
        if answer.status_code == 200 and "password" in answer.text:
            answer = elsewhere.post(str(answer.url), data={"name": name, "password": password})
            assert answer.status_code != 401
        target = answer.headers.get("Location", "")
        if "/hub/oauth_callback" in target:
            return target
        assert target, f"{answer.status_code} {answer.text}"
        answer = elsewhere.get(str(answer.url.join(target)))
    raise AssertionError("too many redirects")


def login(hub, name, password, browser=None):
    browser = browser or hub.browser()
    return browser, browser.client.get(to_callback(hub, browser, name, password))


def user(hub, name):
    """Return what the hub knows of somebody; it tells groups in no order of its own."""
    found = hub.api("GET", f"users/{name}").json()
    return {**found, "groups": sorted(found["groups"])}


def test_groups_decide_and_the_name_comes_from_the_claim(make):
    hub = make(allow={"groups": ["lab"]}, admin_groups=["teachers"])
    browser, page = login(hub, "ada", "ada's")
    assert page.status_code == 302
    assert browser.who() == "ada"
    assert (user(hub, "ada")["admin"], user(hub, "ada")["groups"]) == (True, ["lab", "teachers"])
    _, page = login(hub, "bob", "bob's")
    assert (page.status_code, "in none of the groups" in told(page)) == (403, True)
    _, page = login(hub, "Ada", "other")
    assert page.status_code == 403
    assert 'oidc:Ada would be "ada", which is oidc:ada already' in told(page)
    text = hub.log.read_text()
    assert openid.SECRET not in text
    assert "access_token" not in text


def test_a_callback_of_somebody_elses_making_is_refused(make):
    """Without the cookie, with another state, with a used code, without a code, with the provider's no."""
    hub = make(allow="all")
    browser = hub.browser()
    address = to_callback(hub, browser, "ada", "ada's")
    victim = hub.browser()
    page = victim.client.get(address)
    assert (page.status_code, "began in another browser" in told(page)) == (400, True)
    assert victim.who() is None
    changed = re.sub(r"state=[^&]+", "state=eyJzdGF0ZV9pZCI6ICJ4In0", address)
    victim.get("/hub/oauth_login")
    assert victim.client.get(changed).status_code == 400
    assert browser.client.get(address).status_code == 302
    assert browser.who() == "ada"
    again = hub.browser()
    again.get("/hub/oauth_login")
    state = dict(httpx.URL(again.get("/hub/oauth_login").headers["Location"]).params)["state"]
    page = again.client.get(re.sub(r"state=[^&]+", f"state={state}", address))
    assert (page.status_code, "was used already" in told(page)) == (403, True)
    assert again.who() is None
    assert again.get("/hub/oauth_callback", state=state).status_code == 400
    page = again.get("/hub/oauth_callback", state=state, error="access_denied", error_description="<b>not you</b>")
    assert page.status_code == 400
    assert "<b>not you" not in page.text
    assert "not you" in unescape(told(page))


def test_a_closed_account_loses_session_and_groups_follow(make, provider):
    hub = make(allow={"groups": ["lab"]})
    browser, page = login(hub, "ada", "ada's")
    assert page.status_code == 302
    provider.change(1, groups=["lab", "new"])
    wait_until(lambda: browser.who() and user(hub, "ada")["groups"] == ["lab", "new"], 30)
    provider.change(1, groups=["new"])
    wait_until(lambda: browser.who() is None, 30)


def test_a_namesake_does_not_get_what_was_made_for_an_address(make):
    """An admin of the roster is there by Unix name before the first login; who comes before her is somebody else."""
    hub = make(allow={"users": ["ada@example.org", "ada@evil.org"]}, name="email", domain="evil.org")
    assert hub.api("POST", "users/ada").status_code == 201
    assert hub.api("POST", "hubwright/people/ada/admin").status_code == 204
    browser, page = login(hub, "Ada", "other")  # ada@evil.org, who may enter
    assert (page.status_code, "a list means another by that name" in told(page)) == (403, True)
    assert browser.who() is None


def test_a_silent_provider_is_told_and_the_hub_starts_without_it(make, provider):
    provider.stop()
    hub = make(allow="all")
    page = hub.browser().get("/hub/oauth_login")
    assert (page.status_code, "does not answer" in told(page)) == (503, True)
    assert "openid-configuration" in hub.log.read_text()
    provider.start()
    assert login(hub, "ada", "ada's")[1].status_code == 302


def test_a_wrong_client_secret_is_told_to_the_admin_only(make):
    hub = make(client_secret="not this one", allow="all")
    _, page = login(hub, "ada", "ada's")
    assert page.status_code == 403
    assert "does not answer as it should" in told(page)
    assert "Is client_id right, and the secret?" in hub.log.read_text()
    assert "not this one" not in hub.log.read_text()


def test_only_verified_addresses_are_names(make):
    hub = make(allow="all", name="email", domain="example.org")
    browser, page = login(hub, "ada", "ada's")
    assert (page.status_code, browser.who()) == (302, "ada")
    _, page = login(hub, "bob", "bob's")
    assert (page.status_code, "has not verified your address" in told(page)) == (403, True)
    _, page = login(hub, "Ada", "other")
    assert (page.status_code, "which is oidc:ada@example.org already" in told(page)) == (403, True)


def test_google_lets_in_its_hosted_domain(tmp_path, free_port, provider):
    """The same protocol; another issuer stands in for Google's."""
    secret(tmp_path, "google.secret", openid.SECRET)
    config = google.Config(client_id="hub", hosted_domain=["example.org"], allow={"users": ["ada"]})
    hub = hub_of(google, config, tmp_path, free_port)
    settings = hub.folder / "settings.json"
    settings.write_text(settings.read_text().replace(google.ISSUER, provider.issuer))
    hub.start()
    try:
        browser, page = login(hub, "ada", "ada's")
        assert (page.status_code, browser.who()) == (302, "ada")
        _, page = login(hub, "Ada", "other")
        assert (page.status_code, "is not of example.org" in told(page)) == (403, True)
    finally:
        hub.stop()


def test_the_check_discovers_and_compares_the_callback_address(provider, tmp_path, free_port):
    config = oidc.Config(client_id="hub", issuer=provider.issuer)
    assert list(oidc.probe(config, site_of(tmp_path, free_port))) == []
    (problem,) = oidc.probe(config, site_of(tmp_path, port()))
    assert "callback address" in problem.what
    assert oauth_section.callback(site_of(tmp_path, free_port)) == provider.callback
    (problem,) = oidc.probe(oidc.Config(client_id="hob", issuer=provider.issuer), site_of(tmp_path, free_port))
    assert "refuses this hub" in problem.what
    (problem,) = oidc.probe(oidc.Config(client_id="hub", issuer=f"http://localhost:{port()}"), site_of(tmp_path, 1))
    assert problem.where == "hub.yaml auth.issuer"
    (problem,) = oidc.probe(oidc.Config(client_id="hub", issuer=f"{provider.issuer}/x"), site_of(tmp_path, 1))
    assert problem.where == "hub.yaml auth.issuer"
