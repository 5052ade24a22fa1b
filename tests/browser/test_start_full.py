"""The page while the machine is full: a start is refused with what is free and when it may be, or waits and says so."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

YAML = """\
hub: {listen: "127.0.0.1:{port}", landing: home}
auth: {kind: pam, allow: all}
profiles:
  sizes: {Small: {cpu: 0.5, memory: 512M}, Large: {cpu: 1, memory: 1G}}
  default: {sizes: [Small, Large], reserve: {cpu: 1, memory: 768M}}
  cap: {memory: 1G}
  when_full: WHEN
  wait: 90s
idle: {stop_after: 2h}
"""
WANTED = {"size": "Large", "reserve": {"memory": "768M"}}
LINK = "/hub/spawn/{}?size=Large&reserve_memory=768M"
"""As the form, which ends at what is free when it is shown; a link can be older than that."""


def full(service: Callable[..., Service], account: Callable[..., Account], when: str) -> tuple[Service, Account]:
    """Return a service all of whose memory but 256M is reserved, and who reserved it."""
    hub, first = service(YAML.replace("WHEN", when)).up(), account()
    hub.start(first.name, body=WANTED)
    return hub, first


def entered(hub: Service, someone: Account, person: Callable[[Service], Person]) -> tuple[Person, Page]:
    browser = person(hub)
    page = browser.enter(someone)
    page.wait_for_url("**/hub/**")
    browser.open(LINK.format(someone.name))
    return browser, page


def test_a_start_that_does_not_fit_is_refused_with_what_is_free_and_when_it_may_be(
    service: Callable[..., Service], account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    hub, _ = full(service, account, "refuse")
    someone = account()
    hub.add_user(someone.name)
    refused = hub.api("POST", f"/users/{someone.name}/server", WANTED)
    words = "256M of 1G of memory are free. It may be in 120 minutes, when an idle server is stopped. Reserve less"
    assert refused.status_code == 409 and words in refused.json()["message"], refused.text
    browser, page = entered(hub, someone, person)
    shown = page.locator(".hw-reason")
    expect(shown).to_contain_text(
        "256M of 1G of memory are free. It may be in 120 minutes, when an idle server is stopped"
    )
    expect(shown).to_contain_text("Reserve less, or start without a reserve.")
    assert hub.server(someone.name) == {}
    browser.forget("status of 409")


def test_where_hub_yaml_says_so_it_waits_and_the_page_tells_for_what(
    service: Callable[..., Service], account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    hub, first = full(service, account, "wait")
    someone = account()
    _, page = entered(hub, someone, person)
    page.wait_for_url("**/spawn-pending/**")
    expect(page.get_by_text("256M of 1G of memory are free").first).to_be_visible()
    assert hub.server(someone.name)["pending"] == "spawn"
    hub.stop(first.name)
    page.wait_for_url(re.compile(rf"/user/{someone.name}/"))
    assert hub.server(someone.name)["ready"]
