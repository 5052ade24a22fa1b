"""A person with an account of the machine: in, a notebook, a cell, out; several servers; what is said when one fails."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Response, expect
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import Service, frozen

from hubwright.proxy.pages import hub_silent, server_silent

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

_KEPT = """async () => {
    const state = async () => (await navigator.serviceWorker.getRegistration("/user/"))?.active?.state;
    while (await state() !== "activated") await new Promise((done) => setTimeout(done, 50));
}"""
_WAYS = """performance.getEntriesByType("resource")
    .filter((one) => one.name.includes("/hubwright/lab/")).map((one) => one.deliveryType)"""
SLOW = 10
"""Seconds after which JupyterHub shows the page that waits; a busy machine may need them."""
HOG = "b = []\nwhile True: b.append(bytearray(b'x') * 2**24)"


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], module_account: Callable[..., Account]) -> Service:
    yaml = """\
hub: {name: Physics Lab, listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 500M}
"""
    return service(yaml).up()


@pytest.fixture(scope="module")
def home_hub(service: Callable[..., Service], module_account: Callable[..., Account]) -> Service:
    yaml = """\
hub: {name: Physics Lab, listen: "127.0.0.1:{port}", landing: home}
auth: {kind: pam, allow: all}
engine: {kind: local, servers: 3}
"""
    return service(yaml).up()


def test_from_the_login_to_a_result_and_out_again(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone, browser = account(), person(hub)
    _follow_the_system_s_theme(someone)
    page = browser.open("/")
    expect(page).to_have_title("Sign in · Physics Lab")
    browser.picture("login")
    browser.sign_in(someone.name, "wrong")
    page.wait_for_selector(".login_error")
    browser.picture("login-wrong")
    browser.forget("403")

    began = time.monotonic()
    browser.sign_in(someone.name, someone.password)
    browser.lab()
    waited = [url for url in browser.asked if "spawn-pending" in url]
    assert not waited or time.monotonic() - began > SLOW, "a start so short needs no page to wait on"
    browser.picture("lab-launcher", themes=False)
    page.locator(".jp-LauncherCard[data-category=Notebook]", has_text="Python 3").first.click()
    browser.run_cell("import sys; print('six times seven is', 6 * 7)")
    browser.output("six times seven is 42")
    browser.picture("lab")

    page.keyboard.press("Control+s")
    browser.open("/hub/home")
    expect(page.locator(".hw-state")).to_have_text("Running")
    browser.picture("home-running")
    page.click("#stop")
    expect(page.locator(".hw-state")).to_have_text("Not running")
    expect(page.locator("#start")).to_have_text("Start")
    assert hub.server(someone.name) == {}
    browser.picture("home")


def test_core_files_have_one_address_for_everybody(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """The second person's browser could take them from any cache on the way; and a terminal works."""
    scripts = []
    for someone in (account(), account()):
        browser = person(hub)
        browser.enter(someone)
        page = browser.lab()
        own = [url for url in browser.asked if "/static/lab/" in url or "/lab/extensions/" in url]
        assert own == []
        scripts.append({url for url in browser.asked if "/hubwright/lab/" in url})
    assert any(re.search(r"/hubwright/lab/[0-9a-f]{16}/main\.", url) for url in scripts[0])
    assert len(scripts[0] & scripts[1]) > 3
    assert len({url.split("/")[5] for url in scripts[0] | scripts[1]}) == 1
    early = _linked(page.reload(), "preload")
    assert len(early) > 20 and len(early - {url.removeprefix(hub.url) for url in scripts[0]}) == 0
    assert _linked(page.request.get(f"{hub.url}/hub/home"), "prefetch") == early
    browser.lab()

    page.locator(".jp-LauncherCard", has_text="Terminal").first.click()
    page.wait_for_selector(".jp-Terminal .xterm-screen")
    page.wait_for_timeout(500)
    page.locator(".jp-Terminal .xterm-screen").click()
    page.keyboard.type("echo $((6*7)) > typed; pwd\n")
    typed = someone.home / "typed"
    for _ in range(100):
        if typed.exists() and typed.read_text():
            break
        page.wait_for_timeout(100)
    assert typed.read_text() == "42\n"
    browser.picture("terminal", themes=False)


def test_a_widget_is_shown_and_the_kernel_hears_of_it(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """ipywidgets is there for everybody, from the address that all share, and imported only by who uses it."""
    browser = person(hub)
    browser.enter(account())
    page = browser.lab()
    page.locator(".jp-LauncherCard[data-category=Notebook]", has_text="Python 3").first.click()
    browser.run_cell("import sys; print('loaded:', 'ipywidgets' in sys.modules)")
    browser.output("loaded: False")
    browser.run_cell("import ipywidgets; chosen = ipywidgets.IntSlider(value=41, max=50, description='Size'); chosen")
    slider = page.locator(".jp-OutputArea-output .widget-slider")
    expect(slider.locator(".widget-readout")).to_have_text("41")
    browser.picture("widget", themes=False)
    slider.locator(".noUi-handle").press("ArrowRight")
    expect(slider.locator(".widget-readout")).to_have_text("42")
    browser.run_cell("print('six times seven is', chosen.value)")
    browser.output("six times seven is 42")
    scripts = [url for url in browser.asked if "jupyterlab-manager" in url]
    assert scripts and all("/hubwright/lab/" in url for url in scripts)


def test_the_browser_keeps_jupyterlab_s_scripts_compiled(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """They are there when somebody has logged in; a browser that has lost them loads them as before."""
    someone, browser = account(), person(hub)
    page = browser.open("/")
    page.evaluate(_KEPT)
    browser.sign_in(someone.name, someone.password)
    browser.lab()
    assert page.evaluate("navigator.serviceWorker.controller.scriptURL") == f"{hub.url}/hubwright/worker.js"
    ways = page.evaluate(_WAYS)
    assert len(ways) > 20 and ways.count("cache-storage") > 0.9 * len(ways)

    page.evaluate("caches.keys().then((names) => Promise.all(names.map((name) => caches.delete(name))))")
    page.goto("about:blank")
    browser.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
    browser.open(f"/user/{someone.name}/lab")
    browser.lab()
    assert "cache-storage" not in page.evaluate(_WAYS)


def test_memory_that_runs_out_is_told_in_words(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone, browser = account(), person(hub)
    browser.enter(someone)
    page = browser.lab()
    page.locator(".jp-LauncherCard[data-category=Notebook]", has_text="Python 3").first.click()
    browser.run_cell(HOG)
    notice = page.locator(".Toastify__toast", has_text="reached the memory limit of 500M")
    notice.first.wait_for()
    browser.picture("lab-memory", themes=False)
    assert hub.server(someone.name)["ready"]


def test_a_start_that_fails_says_why(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone, browser = account(home=False), person(hub)
    page = browser.enter(someone)
    expect(page.locator("h1")).to_have_text("Your server did not start")
    expect(page.locator(".hw-reason")).to_contain_text(str(someone.home))
    expect(page.locator("#again")).to_be_visible()
    browser.picture("spawn-failed")
    browser.open(f"/hub/spawn-pending/{someone.name}")
    expect(page.locator(".hw-reason")).to_contain_text(str(someone.home))
    browser.picture("spawn-failed-before")
    browser.forget("status of 403 .*/hub/spawn")


def test_servers_with_names(
    home_hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """Made, opened, stopped, started and deleted on the page that people land on."""
    someone, browser = account(), person(home_hub)
    page = browser.enter(someone)
    expect(page.locator("h1")).to_have_text("Your servers")
    assert home_hub.server(someone.name) == {}

    page.fill("#new-server-name", "Big data")
    page.press("#new-server-name", "Enter")
    row = page.locator(".home-server-row[data-server-name]")
    expect(row.locator("strong")).to_have_text("Big data")
    expect(row.locator(".hw-state")).to_have_text("Not running")
    name = str(row.get_attribute("data-server-name"))
    page.fill("#new-server-name", "second")
    page.click(".new-server-btn")
    expect(row).to_have_count(2)
    expect(page.locator("#new-server-name")).to_have_count(0)

    row.first.get_by_text("Start", exact=True).click()
    browser.lab()
    assert f"/user/{someone.name}/{name}/" in page.url
    assert home_hub.server(someone.name, name)["ready"]
    browser.open("/hub/home")
    expect(row.first.locator(".hw-state")).to_have_text("Running")
    browser.picture("home-servers")
    row.first.get_by_text("Open", exact=True).click()
    browser.lab()
    browser.open("/hub/home")
    row.first.get_by_text("Stop", exact=True).click()
    expect(row.first.locator(".hw-state")).to_have_text("Not running")
    page.on("dialog", lambda asked: asked.accept())
    row.first.get_by_text("Delete", exact=True).click()
    expect(row).to_have_count(1)
    assert home_hub.server(someone.name, name) == {}
    page.click("#start")
    browser.lab()
    browser.open("/hub/home")
    expect(page.locator(".hw-state").first).to_have_text("Running")


def test_pages_of_the_hub(
    home_hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone, browser = account(), person(home_hub)
    page = browser.enter(someone)
    expect(page.locator("h1")).to_have_text("Your servers")
    browser.open("/hub/token")
    expect(page.get_by_text("keep it like a password")).to_be_visible()
    page.fill("#token-note", "my script")
    page.get_by_text("Request new API token").click()
    expect(page.locator("#token-result")).not_to_be_empty()
    browser.picture("token")
    browser.open("/hub/there-is-no-such-page")
    expect(page.locator("h1")).to_have_text("There is no such page")
    browser.picture("404")
    browser.open(f"/user/{someone.name}/lab")
    expect(page.locator("h1")).to_have_text("Your server is not running")
    browser.picture("not-running")
    page.click("#start")
    browser.lab()
    browser.open("/hub/logout")
    expect(page.locator("h1")).to_have_text("Sign in")
    browser.forget("404|424")
    for name, text in {"503-hub": hub_silent("/"), "503-server": server_silent("/")}.items():
        page.set_content(text)
        browser.picture(name)


def test_a_start_that_takes_long_has_a_page(
    home_hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """It says what it waits for and turns into JupyterLab by itself."""
    someone, browser = account(), person(home_hub)
    page = browser.enter(someone)
    page.wait_for_selector("#start")
    with frozen(home_hub.part("fork-server")):
        page.click("#start", no_wait_after=True)
        expect(page.locator("h1")).to_have_text("Starting your server")
        expect(page.locator("#progress-message")).not_to_be_empty()
        browser.picture("spawn-pending")
    browser.lab()


def _linked(answer: Response | APIResponse | None, relation: str) -> set[str]:
    """Return what a page tells the browser to load early."""
    assert answer and answer.ok
    return set(re.findall(rf"<([^>]+)>; rel={relation}; as=script", answer.headers["link"]))


def _follow_the_system_s_theme(someone: Account) -> None:
    settings = someone.home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"adaptive-theme": true}')
    for path in (settings, *settings.parents):
        if path == someone.home:
            break
        os.chown(path, someone.uid, someone.gid)
