"""JupyterLab made ready while somebody looks at the home page or the form: opened at once, and never in place of another page."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bench.chromium import Tab
from tests.browser.conftest import PICTURES
from tests.conftest import Account
from tests.running import PLAIN, Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]
"""Alone: on a busy machine a start takes so long that the page which tells of it opens first."""

_HOW = "performance.getEntriesByType('navigation')[0]"
_OPEN = "document.querySelector('.jp-LauncherCard')?.getClientRects().length && !document.querySelector('#jupyterlab-splash')"
_AHEAD = {"Sec-Purpose": "prefetch;prerender", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture(scope="module")
def chooser(module_account: Callable[..., Account]) -> Account:
    """One who has two sizes to choose from; all others have one."""
    return module_account()


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], chooser: Account) -> Service:
    yaml = f"""\
hub: {{listen: "127.0.0.1:{{port}}", landing: home}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local, servers: 3}}
profiles:
  sizes: {{Tiny: {{cpu: 0.5, memory: 512M}}, Small: {{cpu: 1, memory: 1G}}}}
  default: {{sizes: [Small]}}
  users: {{{chooser.name}: {{sizes: [Small, Tiny], reserve: {{memory: 512M}}}}}}
"""
    return service(yaml).up()


@pytest.fixture
def tab() -> Iterator[Tab]:
    with tempfile.TemporaryDirectory(prefix="hwt-profile-") as profile, Tab(Path(profile)) as one:
        yield one


def test_what_is_ready_is_what_opens(hub: Service, account: Callable[..., Account], tab: Tab) -> None:
    someone = account()
    _look_at_the_home_page(tab, hub, someone)
    assert not hub.server(someone.name).get("ready"), "looking starts nothing"
    assert not [one for one in hub.listed() if one["user"] == someone.name]
    tab.click("#start")
    tab.wait(f"location.pathname === '/user/{someone.name}/lab'")
    tab.wait(_OPEN)
    assert tab.run(f"{_HOW}.activationStart") > 0, "it was there before the click"
    assert tab.run(f"{_HOW}.type") == "navigate", "it is the server's own page, so it stays"
    assert not tab.run("document.hidden") and tab.run("document.visibilityState") == "visible"
    _run_a_cell(tab)
    tab.picture(PICTURES / "made-ready.png")


def test_a_page_that_would_be_another_is_loaded_again(hub: Service, account: Callable[..., Account], tab: Tab) -> None:
    someone = account()
    _write(someone, ".jupyter/labconfig/page_config.json", {"disabledExtensions": {"@jupyterlab/help-extension": True}})
    _look_at_the_home_page(tab, hub, someone)
    tab.click("#start")
    tab.wait(f"location.pathname === '/user/{someone.name}/lab' && {_HOW}.type === 'reload'")
    tab.wait(_OPEN)
    assert "help-extension" in tab.run("document.querySelector('#jupyter-config-data').textContent")
    _run_a_cell(tab)


def test_long_looking_does_no_harm(hub: Service, account: Callable[..., Account], tab: Tab) -> None:
    someone = account()
    _look_at_the_home_page(tab, hub, someone)
    tab.wait("performance.now() > 16000")  # JupyterLab complains after twelve seconds
    tab.click("#start")
    tab.wait(f"location.pathname === '/user/{someone.name}/lab'")
    seen = "window.seen ||= Boolean(document.querySelector('.jp-Dialog'))"
    tab.wait(f"({seen}, {_OPEN})")
    assert not tab.run("window.seen")
    assert tab.run(f"{_HOW}.activationStart") > 15000
    _run_a_cell(tab)


def test_a_start_that_fails_says_so_on_the_home_page(hub: Service, account: Callable[..., Account], tab: Tab) -> None:
    someone = account()
    _look_at_the_home_page(tab, hub, someone)
    away = someone.home.rename(f"{someone.home}-away")
    try:
        tab.click("#start")
        tab.wait("document.querySelector('#problem').textContent.includes('home folder')")
        assert tab.run("location.pathname") == "/hub/home"
        tab.wait("document.querySelector('.hw-state').textContent === 'Did not start'")
    finally:
        away.rename(someone.home)
    tab.click("#start")
    tab.wait(_OPEN)


def test_the_form_opens_what_is_ready_with_what_was_chosen(hub: Service, chooser: Account, tab: Tab) -> None:
    _enter(tab, hub, chooser, "/hub/spawn")
    tab.wait("document.querySelector('#start')?.dataset.ahead && document.querySelector('input[name=size]:checked')")
    tab.wait("document.readyState === 'complete'", ahead=True)
    assert not hub.server(chooser.name).get("ready"), "looking starts nothing"

    # refused by the hub, which says so on its page; nothing has started
    tab.run("document.querySelector('input[name=size]:checked').value = 'Enormous'")
    tab.click("#go")
    tab.wait("document.querySelector('.hw-reason')?.textContent.includes('There is no size')")
    assert hub.server(chooser.name) == {}

    tab.wait("document.readyState === 'complete'", ahead=True)
    tab.click("input[name=size][value=Tiny]")
    tab.click("#reserve summary")
    tab.run(
        "const kept = document.querySelector('#reserve-memory-number'); kept.value = 0.25; "
        "kept.dispatchEvent(new Event('input', {bubbles: true})); "
        "kept.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    tab.wait("document.querySelector('#summary').textContent.includes('256 MB reserved')")
    tab.click("#go")
    tab.wait(f"location.pathname === '/user/{chooser.name}/lab'")
    tab.wait(_OPEN)
    assert tab.run(f"{_HOW}.activationStart") > 0, "it was there before the click"
    assert hub.server(chooser.name)["user_options"] == {"size": "Tiny", "reserve": {"memory": 2**28}}
    _run_a_cell(tab)


def test_a_start_from_the_form_that_fails_says_why(hub: Service, chooser: Account, tab: Tab) -> None:
    hub.stop(chooser.name)
    away = chooser.home.rename(f"{chooser.home}-away")
    try:
        _enter(tab, hub, chooser, "/hub/spawn")
        tab.wait(
            "document.querySelector('#start')?.dataset.ahead && document.querySelector('input[name=size]:checked')"
        )
        tab.click("#go")
        tab.wait("document.querySelector('.hw-reason')?.textContent.includes('home folder')")
    finally:
        away.rename(chooser.home)


def test_it_is_the_server_s_page_but_for_the_token(hub: Service, account: Callable[..., Account]) -> None:
    someone = account()
    with httpx.Client(base_url=hub.url, follow_redirects=True, trust_env=False, **PLAIN) as browser:
        _log_in(browser, someone)
        before = _page(browser.get(f"/user/{someone.name}/lab", headers=_AHEAD))
        hub.start(someone.name)
        after = _page(browser.get(f"/user/{someone.name}/lab"))
    assert after.pop("token") and not before.pop("token")
    del before["store_id"], after["store_id"]
    assert before == after


def test_it_is_for_its_user_only(hub: Service, account: Callable[..., Account]) -> None:
    someone, other = account(), account()
    with httpx.Client(base_url=hub.url, trust_env=False, **PLAIN) as browser:
        path = f"/user/{someone.name}/lab"
        assert browser.get(path, headers=_AHEAD).status_code == 302, "who is not logged in is told nothing"
        _log_in(browser, other)
        assert browser.get(path, headers=_AHEAD).status_code == 302
        mine = f"/user/{other.name}/lab"
        assert browser.get(mine, headers=_AHEAD).status_code == 200
        assert browser.get(mine).status_code == 302, "and only for a page that is not shown yet"
        cookie = browser.cookies.get("hubwright-ahead")
        forged = httpx.Cookies({"hubwright-ahead": cookie.replace("2|", "2|", 1)})
        with httpx.Client(base_url=hub.url, trust_env=False, cookies=forged, **PLAIN) as thief:
            assert thief.get(path, headers=_AHEAD).status_code == 302


def _look_at_the_home_page(tab: Tab, hub: Service, someone: Account) -> None:
    _enter(tab, hub, someone, "/hub/home")
    tab.wait("document.querySelector('#start')?.dataset.ahead")
    tab.wait("document.readyState === 'complete'", ahead=True)


def _enter(tab: Tab, hub: Service, someone: Account, path: str) -> None:
    tab.open(f"{hub.url}{path}")
    tab.wait("document.readyState === 'complete' && document.querySelector('input[name=username]')")
    for name, text in (("username", someone.name), ("password", someone.password)):
        tab.click(f"input[name={name}]")
        tab.write(text)
    tab.run("document.querySelector('input[name=password]').form.requestSubmit()")


def _run_a_cell(tab: Tab) -> None:
    tab.click(".jp-LauncherCard[data-category=Notebook]")
    tab.wait("document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')")
    tab.click(".jp-NotebookPanel .jp-CodeCell .jp-InputArea-editor")
    tab.write("6 * 7")
    tab.shift_enter()
    tab.wait("document.querySelector('.jp-OutputArea-output')?.textContent.includes('42')")


def _log_in(browser: httpx.Client, someone: Account) -> None:
    browser.get("/hub/login", follow_redirects=True)
    form = {"username": someone.name, "password": someone.password, "_xsrf": browser.cookies.get("_xsrf")}
    answer = browser.post("/hub/login", data=form, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    assert browser.get("/hub/home").status_code == 200


def _page(answer: httpx.Response) -> dict[str, Any]:
    found = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', answer.text)
    assert found, answer.text[:500]
    return json.loads(found[1])


def _write(someone: Account, name: str, words: dict[str, Any]) -> None:
    file = someone.home / name
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(words))
    for path in (file, *file.parents):
        if path == someone.home:
            break
        os.chown(path, someone.uid, someone.gid)
