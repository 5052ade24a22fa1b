"""The start page: what a person may choose, that it is what the server then has, and what cannot start and why."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

GB = 2**30


@pytest.fixture(scope="module")
def frugal(module_account: Callable[..., Account]) -> Account:
    """One who has one size and nothing to reserve: nothing to choose."""
    return module_account()


@pytest.fixture(scope="module")
def limited(module_account: Callable[..., Account]) -> Account:
    """One who may run fewer servers at the same time than there are names for."""
    return module_account()


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], frugal: Account, limited: Account) -> Service:
    yaml = f"""\
hub:
  name: Physics Lab
  listen: "127.0.0.1:{{port}}"
  landing: home
  message: {{text: "Maintenance on Friday, see https://example.org/ <script>throw 1</script>", until: 2999-12-31}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local, servers: 4}}
profiles:
  sizes:
    Tiny: {{cpu: 0.5, memory: 512M}}
    Small: {{cpu: 1, memory: 1G}}
    "Big <script>throw 2</script>": {{cpu: 1.5, memory: 1.75G, processes: 500}}
  default:
    sizes: [Small, Tiny, "Big <script>throw 2</script>"]
    reserve: {{cpu: 0.5, memory: 1G}}
    servers: 3
    total: {{cpu: 2, memory: 2G}}
  users:
    {frugal.name}: {{sizes: [Tiny], reserve: {{}}}}
    {limited.name}: {{servers: 2}}
  margin: {{memory: 256M}}
"""
    return service(yaml).up()


def enter(hub: Service, someone: Account, person: Callable[[Service], Person]) -> tuple[Person, Page]:
    browser = person(hub)
    page = browser.enter(someone)
    page.wait_for_url("**/hub/**")
    return browser, page


def options(hub: Service, name: str, server: str = "") -> dict[str, object]:
    found: dict[str, object] = hub.server(name, server)["user_options"]
    return found


def ready(hub: Service, name: str, page: Page) -> None:
    page.wait_for_url(re.compile(rf"/user/{name}/"))
    assert hub.server(name)["ready"]


@contextmanager
def website(text: str) -> Iterator[str]:
    """Serve one page at `localhost`, which for a browser is another site than 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode() if self.path == "/" else b"")

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()


def test_what_is_chosen_is_what_the_server_has(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """With the mouse: a size, a reserve; what the form sends is what the REST API takes, and it is remembered."""
    someone = account()
    browser, page = enter(hub, someone, person)
    browser.open(f"/hub/spawn/{someone.name}")
    expect(page.locator("h1")).to_have_text("Start your server")
    expect(page.locator("input[name=size]:checked")).to_have_value("Small")
    expect(page.locator(".hw-message a")).to_have_attribute("href", "https://example.org/")
    expect(page.get_by_text("Big <script>throw 2</script>", exact=True)).to_be_visible()
    expect(page.locator(".hw-machine .hw-now").first).to_contain_text(" of ")
    expect(page.locator("#reserve")).to_be_visible()
    browser.picture("start")

    page.get_by_label("Tiny").check()
    page.locator("#reserve summary").click()
    page.fill("#reserve-memory-number", "0.25")
    expect(page.locator("#summary")).to_have_text("Tiny · 0.5 CPU · 512 MB · 256 MB reserved")
    page.fill("#reserve-memory-number", "4")  # more than the size has
    page.press("#reserve-memory-number", "Tab")
    expect(page.locator("#reserve-memory-number")).to_have_value("0.5")
    browser.picture("start-reserve")
    page.click("#go")
    ready(hub, someone.name, page)
    assert options(hub, someone.name) == {"size": "Tiny", "reserve": {"memory": GB // 2}}

    browser.open("/hub/home")
    expect(page.locator(".hw-size")).to_contain_text("Tiny")
    page.click("#stop")
    expect(page.locator(".hw-state")).to_have_text("Not running")
    page.click("#start")
    expect(page.locator("input[name=size]:checked")).to_have_value("Tiny")
    expect(page.locator("#summary")).to_contain_text("512 MB reserved")


def test_by_the_keyboard_alone(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """Tab to the sizes, arrows to "As you like", Tab to the sliders, Enter; the numbers follow the sliders."""
    someone = account()
    browser, page = enter(hub, someone, person)
    browser.open(f"/hub/spawn/{someone.name}")
    page.wait_for_selector("input[name=size]:checked")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "size":
            break
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#own")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "cpu-slider"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none" or page.evaluate("document.activeElement.matches(':focus-visible')")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    chosen = float(page.input_value("#cpu-number"))
    assert 0.1 < chosen < 0.4
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "memory-slider"
    page.keyboard.press("End")
    expect(page.locator("#memory-number")).to_have_value("1.75")
    assert page.get_attribute("#memory-slider", "aria-valuetext") == "1.75 GB"
    browser.picture("start-own")
    page.focus("#go")
    page.keyboard.press("Enter")
    ready(hub, someone.name, page)
    assert options(hub, someone.name) == {"cpu": chosen, "memory": int(1.75 * GB)}


def test_what_cannot_start_is_greyed_out_with_the_reason(
    hub: Service, limited: Account, person: Callable[[Service], Person]
) -> None:
    someone = limited
    hub.start(someone.name, "other", {"size": "Small"})
    browser, page = enter(hub, someone, person)
    browser.open(f"/hub/spawn/{someone.name}")
    big = page.locator(".hw-choice", has_text="Big")
    expect(big.locator("input")).to_be_disabled()
    expect(big.locator(".hw-not")).to_contain_text("Stop another one, or ask for less.")
    expect(page.locator("#summary")).to_have_text("Small · 1 CPU · 1 GB")
    browser.picture("start-refused-size")

    hub.start(someone.name, "third", {"size": "Tiny"})
    expect(page.locator("#go")).to_be_disabled()
    expect(page.locator("#away")).to_contain_text("may run 2 servers at the same time")
    browser.picture("start-refused")
    hub.stop(someone.name, "third")
    expect(page.locator("#go")).to_be_enabled()

    # what the page would not send is refused all the same, on the page
    page.evaluate("document.querySelector('input[name=size]:checked').value = 'Enormous'")
    page.click("#go")
    expect(page.locator(".hw-reason")).to_contain_text("There is no size")
    expect(page.locator(".hw-reason")).not_to_contain_text("SpawnException")
    assert "" not in hub.api("GET", f"/users/{someone.name}").json()["servers"]
    browser.picture("start-failed")
    browser.forget("status of 403")


def test_a_link_of_ones_own_starts_at_once_and_a_strangers_link_asks(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone = account()
    browser, page = enter(hub, someone, person)
    with website(f"<a href='{hub.url}/hub/spawn?size=Tiny'>x</a>") as stranger:
        page.goto(stranger)
        page.click("a")
        expect(page.locator("#linked")).to_be_visible()
    expect(page.locator("input[name=size]:checked")).to_have_value("Tiny")
    assert hub.server(someone.name) == {}
    browser.picture("start-link")
    browser.asked[:] = [url for url in browser.asked if "//localhost" not in url]

    browser.open("/hub/spawn?size=Tiny&reserve_cpu=0.1")
    ready(hub, someone.name, page)
    assert options(hub, someone.name) == {"size": "Tiny", "reserve": {"cpu": 0.1}}


def test_who_has_nothing_to_choose_is_asked_nothing(
    hub: Service, frugal: Account, person: Callable[[Service], Person]
) -> None:
    browser, page = enter(hub, frugal, person)
    page.click("#start")
    browser.lab()
    assert hub.server(frugal.name)["ready"]


def test_the_page_works_without_its_data(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """With neither choice nor numbers it says so, and starts what is preselected.

    The hub that serves the page answers these requests, too: that only they fail cannot be had of a real one.
    """
    someone = account()
    browser, page = enter(hub, someone, person)
    away = json.dumps({"status": 503, "message": "Nothing is known now."})
    page.route("**/hub/api/hubwright/*", lambda route: route.fulfill(status=503, body=away))
    browser.open(f"/hub/spawn/{someone.name}")
    expect(page.locator("#away")).to_contain_text("cannot be shown at the moment. Nothing is known now.")
    expect(page.locator(".hw-notes")).to_contain_text("cannot be shown at the moment")
    browser.picture("start-away")
    page.click("#go")
    ready(hub, someone.name, page)
    browser.forget("503")
    assert hub.server(someone.name)["ready"]
