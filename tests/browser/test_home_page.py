"""The home page: what each server takes, making another one, hostile names, and what a start says while it goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import Service, frozen

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da63d8b2650b000438020b"
    "5e1e4a620000000049454e44ae426082"
)
WORK = "b = bytearray(2**27)\nimport time\nend = time.time() + 90\nwhile time.time() < end: sum(range(20000))"


def physics(admin: Account) -> str:
    """Return a hub.yaml."""
    return f"""\
hub: {{name: Physics Lab, listen: "127.0.0.1:{{port}}", landing: home, admins: [{admin.name}], logo: logo.png}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local, servers: 3}}
metrics: {{every: 1s}}
profiles:
  sizes:
    Small: {{cpu: 0.5, memory: 1G}}
    Large: {{cpu: 1, memory: 2G}}
  default: {{sizes: [Small, Large], reserve: {{memory: 1G}}, servers: 3}}
"""


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], admin: Account) -> Service:
    made = service(physics(admin))
    (made.folder / "logo.png").write_bytes(PNG)
    return made.up()


def enter(hub: Service, someone: Account, person: Callable[[Service], Person]) -> tuple[Person, Page]:
    browser = person(hub)
    page = browser.enter(someone)
    expect(page.locator("h1")).to_have_text("Your servers")
    return browser, page


def test_what_a_server_takes_is_shown_with_a_plot(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone = account()
    notebook = hub.start(someone.name, "", {"size": "Small", "reserve": {"memory": "512M"}})
    notebook.kernel().send(WORK)
    browser, page = enter(hub, someone, person)
    row = page.locator("[data-server='']")
    expect(row.locator(".hw-size")).to_have_text(re.compile("Small.*0.5 CPU.*1 GB.*512 MB reserved"))
    expect(row.locator(".hw-facts")).to_contain_text("Running")
    cpu, memory = row.locator(".hw-tile.hw-cpu"), row.locator(".hw-tile.hw-memory")
    expect(cpu.locator(".hw-now")).to_have_text(re.compile(r"0\.[0-5]\d* of 0\.5"))
    expect(memory.locator(".hw-now")).to_have_text(re.compile(r"[1-3]\d\d MB of 1 GB"))
    deadline = time.monotonic() + 60
    while page.locator("[data-server=''] svg").count() < 2:
        assert time.monotonic() < deadline
        page.reload()
        page.wait_for_timeout(3000)
    label = row.locator("svg").first.get_attribute("aria-label")
    assert re.fullmatch(r"CPU, the last quarter of an hour: between [\d.]+ and [\d.]+", str(label))
    expect(page.locator(".hw-machine")).to_contain_text("here in all")
    logo = page.locator(".hw-logo")
    expect(logo).to_be_visible()
    assert logo.evaluate("image => image.naturalWidth") == 1
    browser.picture("home-measured")


def test_another_server_by_the_keyboard_with_a_hostile_name(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """The name is text everywhere; the focus goes to what comes next; the limit is said."""
    someone = account()
    browser, page = enter(hub, someone, person)
    name = "<script>throw 1</script><img src=x onerror=alert(1)>"
    page.focus("#new-server-name")
    page.keyboard.insert_text(name)
    page.keyboard.press("Enter")
    row = page.locator("[data-server-name]")
    expect(row.locator("strong")).to_have_text(name)
    expect(page.locator("#told")).to_have_text(f"{name} was added")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Start"
    browser.picture("home-hostile")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"Start “{name}”")
    browser.picture("start-hostile")
    expect(page.locator("input[name=size]:checked")).to_have_value("Small")
    page.click("#go")
    browser.lab()
    server = next(iter(hub.api("GET", f"/users/{someone.name}").json()["servers"]))
    assert hub.server(someone.name, server)["ready"]

    browser.open("/hub/home")
    page.fill("#new-server-name", "second")
    page.press("#new-server-name", "Enter")
    expect(row).to_have_count(2)
    expect(page.locator("#another")).to_contain_text("all the 3 servers")
    # stopped elsewhere: the page sees it by itself
    hub.stop(someone.name, server)
    expect(page.locator(f"[data-server='{server}'] .hw-state")).to_have_text("Not running")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.locator(f"[data-server='{server}'] .delete-server").click()
    expect(row).to_have_count(1)
    assert name in asked[0]
    expect(page.locator("#new-server-name")).to_be_visible()


def test_the_theme_is_the_persons_own(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """Dark by the system's wish, or by JupyterHub's button; words can be read in both."""
    someone = account()
    _, page = enter(hub, someone, person)
    contrast = """() => {
      const light = (color) => { const [r, g, b] = color.match(/[\\d.]+/g).map((v) => { v /= 255;
        return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const card = getComputedStyle(document.querySelector(".hw-card")).backgroundColor;
      return [...document.querySelectorAll(".hw-card :is(strong, .hw-state, .hw-quiet, h2, label, .form-text)")].map((one) => {
        const [a, b] = [light(getComputedStyle(one).color), light(card)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05); }); }"""
    page.wait_for_selector(".hw-machine .hw-now")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
        assert min(page.evaluate(contrast)) >= 4.5
    page.click("#dark-theme-toggle")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


def test_a_start_tells_how_far_it_is_and_can_be_stopped(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone = account()
    browser, page = enter(hub, someone, person)
    page.click("#start")
    page.wait_for_selector("input[name=size]:checked")
    with frozen(hub.part("fork-server")):
        page.click("#go", no_wait_after=True)
        expect(page.locator("#progress-message")).to_contain_text("Starting your server with up to 1G of memory.")
        expect(page.locator("#progress-log li")).to_have_count(2)
        expect(page.locator("#told")).not_to_be_empty()
        expect(page.locator("#elapsed")).to_contain_text("for ")
        browser.picture("pending")
    browser.lab()
    assert "spawn-pending" not in page.url


def test_a_failure_tells_the_cause_the_log_and_an_admin_more(
    service: Callable[..., Service],
    account: Callable[..., Account],
    admin: Account,
    person: Callable[[Service], Person],
) -> None:
    """Settings for everybody that no server can start with; the log is shown as text."""
    someone = account()
    made = service(physics(admin) + "extra: {ForkSpawner: {args: ['--ServerApp.port=<b>a hint</b>']}}\n")
    (made.folder / "logo.png").write_bytes(PNG)
    hub = made.up()
    browser, page = enter(hub, someone, person)
    browser.open("/hub/spawn?size=Small")
    expect(page.locator(".hw-reason")).to_have_text("The server ended while it started.")
    expect(page.locator(".hw-log").first).to_contain_text("<b>a hint</b>")
    expect(page.get_by_text("For admins")).to_have_count(0)
    browser.picture("failed")
    browser.forget("500")

    browser.open("/hub/home")
    row = page.locator("[data-server='']")
    expect(row.locator(".hw-state")).to_have_text("Did not start")
    expect(row.locator(".hw-why")).to_contain_text("The server ended while it started.")
    browser.picture("home-failed")

    boss = person(hub)
    boss.enter(admin)
    expect(boss.page.locator("h1")).to_have_text("Your servers")
    boss.open(f"/hub/spawn-pending/{someone.name}")
    boss.page.get_by_text("For admins").click()
    expect(boss.page.locator(".hw-log").last).to_contain_text("SpawnException")
    boss.picture("failed-admin")
    boss.forget("500")


def test_the_page_works_without_the_metrics(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone = account()
    hub.start(someone.name)
    with frozen(hub.part("metrics")):
        browser, page = enter(hub, someone, person)
        expect(page.locator("#machine-note")).to_contain_text("cannot be shown at the moment")
        expect(page.locator(".hw-state")).to_have_text("Running")
        browser.picture("home-away")
        page.click("#stop")
        expect(page.locator(".hw-state")).to_have_text("Not running")
    expect(page.locator("#machine-note")).to_contain_text("here", timeout=60_000)
    browser.forget("503 .*/usage")


def test_nothing_is_asked_where_nothing_is_measured(
    service: Callable[..., Service], account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """Neither numbers nor room for them, and not an error in the console."""
    boss = account()
    hub = service(f"""\
hub: {{listen: "127.0.0.1:{{port}}", landing: home, admins: [{boss.name}]}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local}}
metrics: {{enabled: false}}
profiles:
  sizes: {{Small: {{cpu: 0.5, memory: 1G}}, Large: {{cpu: 1, memory: 2G}}}}
  default: {{sizes: [Small, Large]}}
""").up()
    browser = person(hub)
    page = browser.enter(boss)
    expect(page.locator("h1")).to_have_text("Your server")
    expect(page.locator(".hw-machine")).to_have_count(0)
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    browser.picture("home-unmeasured")
    page.click("#start")
    expect(page.locator("input[name=size]:checked")).to_have_value("Small")
    expect(page.locator(".hw-machine")).to_be_hidden()
    browser.picture("start-unmeasured")
    page.click("#go")
    browser.lab()
    browser.open("/hub/home")
    expect(page.locator(".hw-state")).to_have_text("Running")
    assert not [url for url in browser.asked if "hubwright/usage" in url]
    browser.open("/hub/overview")
    expect(page.locator("main")).to_contain_text("metrics.enabled is false")
    browser.forget("404")
