"""The first people of a service: the link on the terminal, a password, the admin's pages, the next person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Person
from tests.conftest import remove_account, wait_until
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

ADMIN, NEXT, THIRD = "hwt-boss", "hwt-next", "hwt-third"
LINK = re.compile(r"http://\S+/hub/claim\?\S+")
YAML = f"""\
hub: {{name: Evening School, listen: "127.0.0.1:{{port}}", admins: [{ADMIN}]}}
"""


@pytest.fixture
def hub(service: Callable[..., Service]) -> Iterator[Service]:
    yield service(YAML).up()
    for name in (ADMIN, NEXT, THIRD):
        remove_account(name)


def test_the_first_people(hub: Service, person: Callable[[Service], Person]) -> None:
    """The admin's link is in the output of `up`; the next ones come from the page of people and from the command."""
    _the_admin(hub, person)
    _the_next(hub, person)


def _the_admin(hub: Service, person: Callable[[Service], Person]) -> None:
    browser = person(hub)
    page = browser.open("/hub/login")
    expect(page.locator(".hw-login-help")).to_contain_text("one-time link")
    browser.picture("login-first-use")
    wait_until(lambda: LINK.search(hub.output()))
    found = LINK.search(hub.output())
    assert found
    page.goto(found[0])
    expect(page.locator("h1")).to_have_text(f"Welcome, {ADMIN}")
    browser.picture("claim")
    _choose(browser, "correct horse")
    browser.lab()

    browser.open("/hub/people")
    page.fill("input[name=name]", NEXT)
    page.get_by_role("button", name="Add").click()
    link = page.locator("#link").input_value()
    browser.picture("people")
    assert link.startswith(hub.url)
    browser.open("/hub/admin")
    expect(page.get_by_text(NEXT, exact=True).first).to_be_visible()
    browser.picture("admin")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.locator("#react-admin-hook .container").evaluate("box => box.scrollWidth <= box.clientWidth")
    page.set_viewport_size({"width": 1280, "height": 800})
    browser.open("/hub/auth/change-password")
    browser.picture("change-password")
    page.goto(found[0])
    expect(page.locator("h1")).to_have_text("This link cannot be used")
    browser.picture("claim-used")
    browser.forget("403")

    other = person(hub)
    other.page.goto(link)
    _choose(other, "battery staple")
    other.lab()
    assert f"/user/{NEXT}/" in other.page.url


def _the_next(hub: Service, person: Callable[[Service], Person]) -> None:
    printed = hub.cli("user", "add", THIRD).stdout
    found = LINK.search(printed)
    assert found, printed
    browser = person(hub)
    browser.page.goto(found[0])
    _choose(browser, "tr0ub4dor&3")
    browser.lab()
    assert f"/user/{THIRD}/" in browser.page.url


def _choose(browser: Person, password: str) -> None:
    browser.page.fill("#password", password)
    browser.page.fill("#again", password)
    browser.page.get_by_role("button", name="Set the password and log in").click()
