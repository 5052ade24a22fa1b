"""Sessions: what a copied, planted, replayed or forged cookie, code or token is worth."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from tests.conftest import Account
from tests.integration.auth.hub import Browser
from tests.security.conftest import World, ask, cookies, refused_at_last

SESSION = "jupyterhub-session-id"
"""The cookie that tells which logins belong together, and opens nothing."""
pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


def morsels(answer: httpx.Response) -> dict[str, SimpleCookie]:
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        one = SimpleCookie(line)
        found[next(iter(one))] = one
    return found


def test_every_cookie_is_for_https_its_own_path_and_no_script(world: World) -> None:
    """Flags and paths: a server's cookie goes to that server alone, and no other site's request has one with it."""
    world.notebook(world.alice)
    browser = world.browser()
    name, answers = world.alice.name, [browser.get("/hub/login")]
    answers.append(browser.login(name, world.alice.password))
    page = browser.client.get(f"/user/{name}/lab", follow_redirects=True)
    seen: dict[str, set[str]] = {}
    for answer in (*answers, *page.history, page):
        for key, cookie in morsels(answer).items():
            flags = cookie[key]
            if not flags.value:  # it is taken away
                continue
            seen.setdefault(key, set()).add(flags["path"])
            assert flags["secure"] and flags["samesite"] == "Lax" and not flags["domain"], flags
            assert flags["httponly"] or key == "_xsrf", flags
    server = f"jupyterhub-user-{name}"
    assert seen.pop(SESSION) == {"/"}
    assert seen.pop("jupyterhub-hub-login") == {"/hub/"}
    assert seen.pop("_xsrf") == {"/hub/", f"/user/{name}/"}
    assert seen.pop(server) == {f"/user/{name}/"}
    assert all(paths == {f"/user/{name}/"} for key, paths in seen.items() if key.startswith(f"{server}-oauth-state"))
    assert ask(world, "/hub/home", cookie=f"{SESSION}={browser.client.cookies[SESSION]}")\
        .status_code == 302  # fmt: skip


def test_a_copied_cookie_is_worth_nothing_after_logout(world: World) -> None:
    """The hub's at once, a server's within half a minute, those of other browsers too; the server goes on."""
    browser, other = world.at_work(world.alice), world.at_work(world.alice)
    path = f"/user/{world.alice.name}/api/contents"
    stolen = {where: [cookies(one, where) for one in (browser, other)] for where in ("/hub/home", path)}
    for where, copies in stolen.items():
        assert {ask(world, where, cookie=copy).status_code for copy in copies} == {200}
    assert browser.get("/hub/logout").status_code == 302
    assert {ask(world, "/hub/home", cookie=copy).status_code for copy in stolen["/hub/home"]} == {302}
    assert {ask(world, "/hub/api/user", cookie=copy).status_code for copy in stolen["/hub/home"]} == {403}
    for copy in stolen[path]:
        refused_at_last(world, path, copy)
    assert world.hub.server(world.alice.name)["ready"]
    assert world.notebook(world.alice).ask("GET", "api/status").status_code == 200  # a program's token is not a session


def test_a_login_at_a_server_that_is_half_done_ends_with_the_session(world: World) -> None:
    """The code that the hub gave before the logout would otherwise still become a session of its server."""
    world.notebook(world.alice)
    path = f"/user/{world.alice.name}/"
    for out in (False, True):
        browser = world.browser(world.alice)
        begun = browser.get(f"{path}lab")
        callback = browser.client.get(begun.headers["location"]).headers["location"]
        assert "code=" in callback
        cookie = cookies(browser, path)
        if out:
            assert browser.get("/hub/logout").status_code == 302
        found = ask(world, callback, cookie=cookie)
        given = any(
            key == f"jupyterhub-user-{world.alice.name}" and one[key].value for key, one in morsels(found).items()
        )
        assert (found.status_code == 302 and given) is not out, (out, found.status_code)
        assert not (out and given)


def test_a_copied_cookie_is_worth_nothing_when_its_person_is_removed(
    world: World, account: Callable[..., Account]
) -> None:
    """At once: the hub's, and the server's with the server; a namesake who is added later is somebody else."""
    person = account()
    browser = world.at_work(person)
    path = f"/user/{person.name}/api/contents"
    hub, server, token = cookies(browser, "/hub/home"), cookies(browser, path), world.hub.token(person.name)
    assert ask(world, path, cookie=server).status_code == ask(world, "/hub/home", cookie=hub).status_code == 200
    world.hub.stop(person.name)
    assert world.hub.api("DELETE", f"/users/{person.name}").status_code == 204
    for again in (False, True):
        if again:
            world.hub.start(person.name)
        assert ask(world, "/hub/home", cookie=hub).status_code == 302
        assert ask(world, path, cookie=server).status_code != 200
        assert ask(world, "/hub/api/user", Authorization=f"token {token}").status_code == 403
    world.hub.stop(person.name)


def test_a_planted_session_becomes_nobodys(world: World) -> None:
    """Session fixation: what a thief knew before the login is not what holds afterwards."""
    thief = world.browser()
    thief.get("/hub/login")
    planted = {"jupyterhub-session-id": "5" * 32, "_xsrf": dict(thief.client.cookies)["_xsrf"]}
    victim = Browser(world.hub.url)
    world.browsers.append(victim)
    for name, value in planted.items():
        victim.client.cookies.set(name, value, domain="localhost.local", path="/" if "session" in name else "/hub/")
    assert victim.login(world.alice.name, world.alice.password).status_code in (302, 403)
    if victim.who() is None:
        assert victim.login(world.alice.name, world.alice.password).status_code == 302
    assert victim.who() == world.alice.name
    copy = "; ".join(f"{name}={value}" for name, value in planted.items())
    assert ask(world, "/hub/home", cookie=copy).status_code == 302
    thief.client.cookies.set("jupyterhub-session-id", "5" * 32)
    assert thief.who() is None
    assert thief.client.post("/hub/api/users/x/tokens", headers={"X-XSRFToken": planted["_xsrf"]}).status_code == 403


@pytest.mark.parametrize("forged", ["", "x", "2|1:0|10:1|20:jupyterhub-hub-login|4:MQ==|" + "0" * 64, "ü", "a" * 4000])
def test_a_cookie_of_ones_own_making_is_no_login(world: World, forged: str) -> None:
    name = world.mallory.name
    for key, path in (("jupyterhub-hub-login", "/hub/home"), (f"jupyterhub-user-{name}", f"/user/{name}/api")):
        found = ask(world, path, cookie=f'{key}="{quote(forged, safe="|:=")}"')
        assert found.status_code in (302, 403, 404, 424, 503), (key, found.status_code)


def test_one_persons_cookies_open_nothing_of_another(world: World) -> None:
    """Mallory's cookies under Alice's names, at Alice's paths, and his token at her server."""
    world.at_work(world.alice)
    his, alice = world.at_work(world.mallory), world.alice.name
    mine = f"jupyterhub-user-{world.mallory.name}"
    value = next(one.value for one in his.client.cookies.jar if one.name == mine)
    path = f"/user/{alice}/api/contents"
    for cookie in (cookies(his, "/hub/") + f"; {mine}={value}", f"jupyterhub-user-{alice}={value}"):
        assert ask(world, path, cookie=cookie).status_code in (302, 403), cookie
    page = his.client.get(f"/user/{alice}/lab", follow_redirects=True)
    assert page.status_code == 403 and "jupyter-config-data" not in page.text
    for token in (world.hub.token(world.mallory.name), value):
        assert ask(world, path, Authorization=f"token {token}").status_code == 403
        assert ask(world, f"{path}?token={token}").status_code == 403


def test_a_code_of_a_servers_login_works_once_and_in_its_browser_only(world: World) -> None:
    """Replayed OAuth codes and states: in another browser, a second time, for another server, at another address."""
    world.notebook(world.alice), world.notebook(world.mallory)
    name = world.alice.name
    browser = world.browser(world.alice)
    begun = browser.get(f"/user/{name}/lab")
    asked = browser.client.get(begun.headers["location"])
    callback = asked.headers["location"]
    assert urlsplit(callback).path == f"/user/{name}/oauth_callback" and "code=" in callback
    stranger = world.browser(world.mallory)
    assert stranger.client.get(callback).status_code in (400, 403)
    elsewhere = callback.replace(name, world.mallory.name)
    assert stranger.client.get(elsewhere).status_code in (400, 403)
    begun_with = cookies(browser, f"/user/{name}/")
    assert browser.client.get(callback).status_code == 302
    again = ask(world, callback, cookie=begun_with)
    assert again.status_code >= 400 and not any("state" not in key for key in morsels(again) if "user" in key)
    code = parse_qs(urlsplit(callback).query)["code"][0]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": f"jupyterhub-user-{name}",
        "client_secret": "x",
    }
    taken = httpx.post(f"{world.hub.url}/hub/api/oauth2/token", data=form, timeout=60)
    assert taken.status_code in (400, 401, 403) and "access_token" not in taken.text


def test_a_login_leads_back_to_the_registered_address_only(world: World) -> None:
    """Alice's code would otherwise go to whoever names an address; and Mallory may not log in to her server."""
    world.notebook(world.alice)
    name = world.alice.name
    browser = world.browser(world.alice)
    whole = f"/hub/api/oauth2/authorize?client_id=jupyterhub-user-{name}&response_type=code&state=x&redirect_uri="
    for address in ("https://evil.example/", f"/user/{world.mallory.name}/oauth_callback", "//evil.example/", "/hub/x"):
        found = browser.get(whole + quote(address, safe=""))
        assert found.status_code in (400, 403) and "location" not in found.headers, address
    own = whole + quote(f"/user/{name}/oauth_callback", safe="")
    refused = world.browser(world.mallory).get(own)
    assert refused.status_code == 403 and "code=" not in refused.headers.get("location", "")


def test_a_token_in_an_address_logs_nobody_in(world: World) -> None:
    """Forced login: a link with somebody's token is no login, at the hub and at servers, and leaves no cookie."""
    world.notebook(world.mallory)
    token, name = world.hub.token(world.mallory.name), world.mallory.name
    for path in ("/hub/home", "/hub/api/user", f"/user/{name}/api/contents", f"/user/{name}/lab"):
        found = ask(world, f"{path}?token={token}")
        assert found.status_code in (302, 403), path
        assert not any(key.startswith("jupyterhub-user") and "state" not in key for key in morsels(found))
    victim = world.at_work(world.alice)
    assert victim.client.get(f"/user/{name}/lab?token={token}", follow_redirects=True).status_code == 403


def test_what_opens_something_stands_in_no_log(world: World) -> None:
    """Passwords, cookies and tokens, after logins that worked and failed; Caddy's log leaves addresses' tokens out."""
    browser = world.at_work(world.alice)
    world.browser().login(world.alice.name, world.alice.password + "wrong")
    token = world.hub.token(world.alice.name)
    ask(world, f"/user/{world.alice.name}/api?token={token}")
    secrets = [world.alice.password, token, *(one.value for one in browser.client.cookies.jar if one.name != SESSION)]
    done = subprocess.run(
        ["cat", *map(str, (world.hub.state / "logs").rglob("*.log"))], capture_output=True, check=True
    )
    assert len(done.stdout) > 1000
    for secret in secrets:
        assert len(secret) > 10 and secret.encode() not in done.stdout, secret
