"""Logging in to a real hub at what speaks as GitHub does; GitHub itself needs people and the world."""

from __future__ import annotations

import httpx
import pytest
from tests.conftest import wait_until
from tests.integration.auth import forge
from tests.integration.auth.forge import Forge
from tests.integration.auth.hub import told
from tests.integration.auth.outside import hub_of, secret

from hubwright.auth import github


@pytest.fixture
def provider(free_port):
    running = Forge(f"http://127.0.0.1:{free_port}/hub/oauth_callback").start()
    yield running
    running.stop()


@pytest.fixture
def make(tmp_path, free_port, provider):
    """Make and start the one hub of a test."""
    made = []

    def start(client_secret=forge.SECRET, **section):
        secret(tmp_path, "github.secret", client_secret)
        section = {"client_id": forge.CLIENT, "server": provider.url, "look_every": 1} | section
        made.append(hub_of(github, github.Config(**section), tmp_path, free_port))
        made[-1].start()
        return made[-1]

    yield start
    for hub in made:
        hub.stop()


def login(hub, name, password):
    """Press the button and log in there; return the browser, the page one comes back to, and its address."""
    browser = hub.browser()
    away = browser.get("/hub/oauth_login").headers["Location"]
    assert "password" in httpx.get(away).text
    back = httpx.post(away, data={"login": name, "password": password}).headers["Location"]
    return browser, browser.client.get(back), back


def test_organizations_and_teams_decide_and_are_followed(make, provider):
    """Names in lower case; who leaves the organization is out within a look; nobody else's business is asked for."""
    hub = make(allow={"groups": ["lab"]}, admin_groups=["lab/teachers"])
    ada, page, _ = login(hub, "Ada-L", "ada's")
    assert (page.status_code, ada.who()) == (302, "ada-l"), told(page)
    found = hub.api("GET", "users/ada-l").json()
    assert (found["admin"], sorted(found["groups"])) == (True, ["lab", "lab/teachers"])
    bob, page, _ = login(hub, "bob", "bob's")
    assert (page.status_code, "in none of the groups" in told(page), bob.who()) == (403, True, None)
    assert {scope for _, scope in provider.tokens.values()} == {"read:org"}
    provider.people["Ada-L"]["teams"] = []
    wait_until(lambda: ada.who() and hub.api("GET", "users/ada-l").json()["groups"] == ["lab"], 30)
    provider.people["Ada-L"]["orgs"] = []
    wait_until(lambda: ada.who() is None, 30)
    log = hub.log.read_text()
    assert forge.SECRET not in log and not any(token in log for token in provider.tokens)


def test_a_name_without_groups_asks_for_no_scope(make, provider):
    hub = make(allow={"users": ["bob"]})
    bob, page, _ = login(hub, "bob", "bob's")
    assert (page.status_code, bob.who()) == (302, "bob")
    assert [scope for _, scope in provider.tokens.values()] == [""]
    _, page, _ = login(hub, "Ada-L", "ada's")
    assert page.status_code == 403


def test_what_github_refuses_with_status_200_lets_nobody_in(make, provider):
    """A used code is told to the person, a wrong secret to the admin."""
    hub = make(allow={"users": ["bob"]})
    bob, _, back = login(hub, "bob", "bob's")
    code = dict(httpx.URL(back).params)["code"]
    other = hub.browser()
    state = dict(httpx.URL(other.get("/hub/oauth_login").headers["Location"]).params)["state"]
    page = other.get("/hub/oauth_callback", code=code, state=state)
    assert (page.status_code, "was used already" in told(page), other.who()) == (403, True, None)
    assert bob.who() == "bob"


def test_a_wrong_client_secret_is_told_to_the_admin_only(make):
    hub = make(client_secret="not this one", allow={"users": ["bob"]})
    bob, page, _ = login(hub, "bob", "bob's")
    assert (page.status_code, bob.who()) == (403, None)
    assert "does not answer as it should" in told(page)
    assert "client_secret passed are incorrect" in hub.log.read_text()
    assert "not this one" not in hub.log.read_text()
