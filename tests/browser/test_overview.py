"""The overview: everybody's servers in numbers and plots, in the order one asks for; for admins only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Person
from tests.conftest import Account, wait_until
from tests.running import Service, frozen

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

WORK = "while True: sum(range(20000))"
HOLD = "b = bytearray(b'x') * 400_000_000"


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], admin: Account) -> Service:
    yaml = f"""\
hub: {{name: Physics Lab, listen: "127.0.0.1:{{port}}", landing: home, admins: [{admin.name}]}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local, servers: 3}}
metrics: {{every: 1s}}
profiles:
  sizes: {{Small: {{cpu: 0.5, memory: 1G}}}}
  default: {{sizes: [Small], reserve: {{cpu: 0.25, memory: 512M}}, servers: 3}}
"""
    return service(yaml).up()


def test_everybody_in_the_order_one_asks_for(
    hub: Service, admin: Account, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    busy, big = account(), account()
    hub.start(busy.name, "", {"reserve": {"cpu": 0.25}}).kernel().send(WORK)
    notebook = hub.start(big.name, "data")
    notebook.kernel().run(HOLD)

    def kept() -> bool:
        """Whether the history knows by now who takes most."""
        told = hub.api("GET", "/hubwright/usage?all=1&hours=1").json()["history"]["users"]
        lines = {line["user"]: [[v or 0 for v in line[kind]] for kind in ("cpu", "memory")] for line in told}
        if lines.keys() != {busy.name, big.name}:
            return False
        (cpu, memory), (little, much) = lines[busy.name], lines[big.name]
        return sum(cpu) > sum(little) and max(memory) < max(much)

    wait_until(kept, 60)
    browser = person(hub)
    browser.enter(admin)
    expect(browser.page.locator("h1")).to_have_text("Your servers")
    page = browser.page
    page.get_by_role("link", name="Overview").click()
    names = page.locator("#people .hw-person th")
    expect(names).to_have_text([busy.name, big.name], use_inner_text=True)
    rows = page.locator("#people .hw-of-person")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("of 0.5")
    expect(rows.nth(0).locator("[data-cell=reserve]")).to_have_text("0.25 CPU")
    expect(page.locator("#short")).to_contain_text("2 servers of 2 people")
    expect(page.locator("#short")).to_contain_text("0.25 CPU")
    expect(page.locator("#machine-cpu svg")).to_have_attribute("aria-label", "CPU of the machine, the last day")
    page.get_by_text("Hour", exact=True).click()
    expect(page.locator("#machine-memory svg")).to_have_attribute("aria-label", "Memory of the machine, the last hour")
    expect(page.locator("#most-cpu li").first).to_contain_text(busy.name)
    expect(page.locator("#most-memory li").first).to_contain_text(big.name)
    browser.picture("overview")

    memory = page.get_by_role("button", name="Memory now")
    memory.focus()
    page.keyboard.press("Enter")
    expect(names).to_have_text([big.name, busy.name], use_inner_text=True)
    expect(page.locator("[data-key=memory]")).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    expect(names).to_have_text([busy.name, big.name], use_inner_text=True)
    page.fill("#filter", big.name[-6:])
    expect(page.locator("#people tbody:visible .hw-person th")).to_have_text([big.name], use_inner_text=True)
    page.fill("#filter", "")

    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.get_by_role("button", name=f"Stop data of {big.name}").click()
    wait_until(lambda: hub.server(big.name, "data") == {}, 60)
    expect(rows).to_have_count(1)
    assert asked == [f"Stop data of {big.name}? What is not saved there is lost."]
    assert hub.server(busy.name)["ready"]


def test_only_an_admin_sees_it(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone = account()
    browser = person(hub)
    page = browser.enter(someone)
    expect(page.locator("h1")).to_have_text("Your servers")
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    browser.open("/hub/overview")
    expect(page.locator("h1")).to_have_text("You may not see this page")
    browser.forget("403")


def test_it_says_when_nothing_is_measured(hub: Service, admin: Account, person: Callable[[Service], Person]) -> None:
    browser = person(hub)
    page = browser.enter(admin)
    expect(page.locator("#machine-note")).to_contain_text("here")
    note = page.locator("#note")
    with frozen(hub.part("metrics")):
        browser.open("/hub/overview")
        expect(note).to_contain_text("What is in use cannot be shown at the moment. Nothing is measured now")
        browser.picture("overview-away")
    expect(note).to_be_hidden(timeout=60_000)
    expect(page.locator("#short")).to_contain_text("Running")
    browser.forget("503 .*/usage")
