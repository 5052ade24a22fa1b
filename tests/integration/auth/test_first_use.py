"""One-time links and passwords against a real JupyterHub, over HTTP."""

from __future__ import annotations

import json
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import remove_account
from tests.integration.auth.hub import RunningHub, told

from hubwright.auth import first_use
from hubwright.auth.first_use.links import first_admin_link
from hubwright.fields import Site
from hubwright.machine.policy import find_account, group_names

GOOD = "correct horse"


def make(folder, port, admin, socket=""):
    """A hub of `admin`, who alone can be served unless there is a helper."""
    site = Site(
        config=None,
        state=folder,
        run=folder,
        prefix=Path(sys.prefix),
        account=admin if not socket else "root",
        privileged=bool(socket),
        listen=("127.0.0.1", port),
        public_url=f"http://127.0.0.1:{port}/",
    )
    settings = {"Authenticator": {"admin_users": [admin], "allowed_users": [admin]}}
    first_use.configure(first_use.Config(), site, settings)
    if socket:
        settings["ClaimAuthenticator"]["account_socket"] = str(socket)
    return RunningHub(folder, port, settings), site


@pytest.fixture
def hub(tmp_path, free_port):
    """A hub that no root started: it serves `me`."""
    running, running.site = make(tmp_path, free_port, "me")
    running.start()
    yield running
    running.stop()


def file_of(hub):
    return hub.folder / "secrets" / "passwords.json"


def test_the_admins_first_link_opens_the_hub(hub):
    """From the address printed by `up` to being logged in; there is none once the admin has a password."""
    import httpx

    link = dict(httpx.URL(first_admin_link(hub.site, "me")).params)
    browser = hub.browser()
    page = browser.get("/hub/claim", **link)
    assert page.status_code == 200
    assert (page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == ("no-referrer", "no-store")
    done = browser.claim(link, GOOD)
    assert done.status_code == 302, done.text
    assert "token=" not in done.headers["Location"]
    assert browser.who() == "me"
    assert first_admin_link(hub.site, "me") is None
    assert link["token"] not in hub.log.read_text()
    assert GOOD not in hub.log.read_text()


def test_typing_a_name_first_does_not_make_it_ones_own(hub):
    for name in ("me", "somebody", "ME", "../x", "", "0"):
        page = hub.browser().login(name, GOOD)
        assert page.status_code in {400, 403}
        assert "one-time link" in told(page) or "Type" in told(page)
    assert not file_of(hub).exists()


def test_mistakes_are_told_and_the_link_still_works(hub):
    link, browser = hub.link("me"), hub.browser()
    assert "too short" in told(browser.claim(link, "short"))
    assert "not the same" in told(browser.claim(link, GOOD, "correct house"))
    assert "too long" in told(browser.claim(link, "x" * 100))
    assert browser.claim(link, GOOD).status_code == 302


def test_a_used_tampered_expired_or_replaced_link_is_dead(hub):
    first, owner = hub.link("me"), hub.browser()
    assert owner.claim(first, GOOD).status_code == 302
    assert owner.who() == "me"
    replay = hub.browser().claim(first, "another password")
    assert (replay.status_code, "does not work" in told(replay)) == (403, True)
    replaced, newest = hub.link("me"), hub.link("me")
    assert owner.who() is None, "whoever has the old password would stay"
    for dead in (replaced, newest | {"token": newest["token"][:-1] + "!"}, newest | {"user": "you"}, {}):
        page = hub.browser().claim(dead, "another password")
        assert (page.status_code, "does not work" in told(page)) == (403, True)
        assert 'name="password"' not in page.text
    stored = json.loads(file_of(hub).read_text())
    stored["claims"]["me"]["expires"] = 1
    file_of(hub).write_text(json.dumps(stored))
    page = hub.browser().claim(newest, "another password")
    assert "expired" in told(page)
    assert hub.browser().login("me", "another password").status_code == 403


def test_a_form_from_elsewhere_is_refused(hub):
    """Without the XSRF token nothing changes."""
    link, browser = hub.link("me"), hub.browser()
    form = {**link, "password": GOOD, "again": GOOD}
    assert browser.client.post("/hub/claim", data=form).status_code == 403
    browser.get("/hub/claim", **link)
    assert browser.client.post("/hub/claim", data=form).status_code == 403
    assert browser.client.post("/hub/claim", data=form | {"_xsrf": "x"}).status_code == 403
    assert browser.claim(link, GOOD).status_code == 302
    for path in ("/hub/people", "/hub/claim-link/me", "/hub/auth/change-password"):
        assert browser.client.post(path, data={"name": "x", "current": GOOD}).status_code == 403
    assert browser.who() == "me"


def test_of_two_claimers_at_once_one_wins(hub):
    link = hub.link("me")
    words = [f"{GOOD} {n}" for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda word: hub.browser().claim(link, word), words))
    assert sorted(page.status_code for page in pages) == [302, 403, 403, 403, 403, 403]
    (winner,) = [word for word, page in zip(words, pages, strict=True) if page.status_code == 302]
    assert hub.browser().login("me", winner).status_code == 302


def test_links_and_passwords_survive_a_killed_hub(hub):
    link = hub.link("me")
    hub.stop(kill=True)
    hub.start()
    assert hub.browser().claim(link, GOOD).status_code == 302
    hub.stop(kill=True)
    hub.start()
    assert hub.browser().login("me", GOOD).status_code == 302
    assert hub.browser().claim(link, GOOD).status_code == 403


def test_guessing_is_slowed_down(hub):
    hub.browser().claim(hub.link("me"), GOOD)
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda n: hub.browser().login("me", f"wrong {n}"), range(8)))
    assert {page.status_code for page in pages} == {403}
    assert sum("Too many" in told(page) for page in pages) == 3
    page = hub.browser().login("me", GOOD)
    assert "Try again in" in told(page)


def test_changing_ones_password_needs_the_present_one_and_ends_other_sessions(hub):
    browser, other = hub.browser(), hub.browser()
    browser.claim(hub.link("me"), GOOD)
    other.login("me", GOOD)
    assert other.who() == "me"
    path = "/hub/auth/change-password"

    def change(current, new, again):
        return browser.submit(path, path, current=current, password=new, again=again)

    assert "present password" in told(change("wrong", "a new password", "a new password"))
    assert "too short" in told(change(GOOD, "short", "short"))
    assert "not the same" in told(change(GOOD, "a new password", "another password"))
    assert "has been changed" in change(GOOD, "a new password", "a new password").text
    assert browser.who() == "me"
    assert other.who() is None
    assert hub.browser().login("me", GOOD).status_code == 403
    assert hub.browser().login("me", "a new password").status_code == 302


def test_an_admin_gets_a_new_link_on_the_page_of_people(hub):
    browser = hub.browser()
    browser.claim(hub.link("me"), GOOD)
    page = browser.get("/hub/people")
    assert "has a password" in page.text
    assert browser.get("/hub/claim-link/me").status_code == 302
    assert "has a password" in browser.get("/hub/people").text
    made = browser.submit("/hub/people", "/hub/claim-link/me")
    assert "hub/claim?user=me&amp;token=" in made.text
    assert hub.browser().login("me", GOOD).status_code == 403
    assert "cannot" not in browser.get("/hub/people").text
    assert "hub/claim?" not in browser.get("/hub/people").text
    assert 'href="/hub/people"' in browser.get("/hub/home").text


def test_not_root_it_serves_only_whoever_runs_it(hub):
    assert hub.api("POST", "users/somebody").status_code == 400
    assert hub.api("GET", "users/somebody").status_code == 404
    browser = hub.browser()
    browser.claim(hub.link("me"), GOOD)
    page = browser.submit("/hub/people", "/hub/people", name="somebody")
    assert (page.status_code, "only me" in told(page)) == (400, True)
    page = browser.submit("/hub/people", "/hub/people", name="No Name")
    assert (page.status_code, "not a user name" in told(page)) == (400, True)


@pytest.mark.root
def test_the_people_an_admin_adds_get_an_account_and_no_rights_of_an_admin(helper, tmp_path, free_port):
    """Also: what a mere user tries at the pages and the API of people."""
    admin, person = (f"hwt-{secrets.token_hex(4)}" for _ in range(2))
    hub, _ = make(tmp_path, free_port, admin, helper.socket)
    hub.start()
    try:
        assert group_names(find_account(admin)) == [admin, "hubwright-users"]
        boss, user = hub.browser(), hub.browser()
        boss.claim(hub.link(admin), GOOD)
        page = boss.submit("/hub/people", "/hub/people", name=person)
        assert page.status_code == 200, told(page)
        assert find_account(person).pw_uid >= 1000
        assert hub.api("GET", "hubwright/people").json() == sorted(
            [
                {"name": admin, "admin": True, "state": "claimed"},
                {"name": person, "admin": False, "state": "unclaimed"},
            ],
            key=lambda one: one["name"],
        )
        refused = boss.submit("/hub/people", "/hub/people", name="daemon")
        assert "system account" in told(refused)
        assert hub.api("GET", "users/daemon").status_code == 404

        assert user.claim(hub.link(person), GOOD).status_code == 302
        assert user.get("/hub/people").status_code == 403
        for path in ("/hub/people", f"/hub/claim-link/{admin}"):
            assert user.submit("/hub/auth/change-password", path, name="x").status_code == 403
        assert user.client.post(f"/hub/api/hubwright/people/{admin}/link").status_code == 403
        assert user.get("/hub/api/hubwright/people").status_code == 403
        assert hub.browser().login(admin, GOOD).status_code == 302

        assert hub.api("DELETE", f"users/{person}").status_code == 204
        assert hub.browser().login(person, GOOD).status_code == 403
        assert Path("/home", person).is_dir()
        assert group_names(find_account(person)) == [person]
    finally:
        hub.stop()
        remove_account(admin)
        remove_account(person)


@pytest.mark.root
def test_the_hub_starts_without_the_helper_and_keeps_its_people(helper, tmp_path, free_port):
    admin = f"hwt-{secrets.token_hex(4)}"
    hub, _ = make(tmp_path, free_port, admin, helper.socket)
    helper.stop()
    hub.start()
    try:
        assert hub.browser().claim(hub.link(admin), GOOD).status_code == 302
        assert "Traceback" not in hub.log.read_text()
    finally:
        hub.stop()
        remove_account(admin)
