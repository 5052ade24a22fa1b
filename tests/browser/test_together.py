"""Two of a group in two browsers: they start and open the group's server from home, and see each other write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import websocket
from playwright.sync_api import expect
from tests.browser.conftest import Person
from tests.collaborating import NOTEBOOK, Group, group_of
from tests.conftest import Account
from tests.integration.people.test_apply import as_user
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def group(service: Callable[..., Service], account: Callable[..., Account]) -> Iterator[Group]:
    """Ada and Bob are in it, Eve is not."""
    people = [account() for _ in range(3)]
    with group_of(service, people) as made:
        made.consist_of(*people[:2])
        made.service.up()
        made.apply()
        text = json.dumps(NOTEBOOK)
        as_user(people[0].name, f"cat > {made.folder}/n.ipynb <<'EOF'\n{text}\nEOF")
        yield made


def open_notebook(one: Person, group: Group) -> None:
    """Say yes to JupyterHub's question, and open the notebook of all."""
    one.page.get_by_role("button", name="Authorize").click()
    one.lab()
    one.open(f"/user/{group.team}/lab/tree/n.ipynb")
    one.lab()


def test_two_people_see_each_other_write(group: Group, person: Callable[[Service], Person]) -> None:
    hub, (ada, bob, eve) = group.service, group.people
    first, second, other = person(hub), person(hub), person(hub)
    for one, account in ((first, ada), (second, bob), (other, eve)):
        one.enter(account)
        one.page.wait_for_selector("#home")
    expect(other.page.locator("#together")).to_have_count(0)
    row = first.page.locator("#together [data-account]")
    expect(row).to_contain_text(f"Group {group.name}")
    expect(row).to_contain_text("Not running")
    first.picture("together-stopped")
    row.get_by_role("button", name="Start").click()
    open_notebook(first, group)

    link = second.page.get_by_role("button", name=f"Open the server of group {group.name}")  # without a new look
    expect(link).to_be_visible()
    second.picture("together-running")
    link.click()
    open_notebook(second, group)

    cell = ".jp-Notebook .jp-CodeCell .cm-content"
    first.page.locator(cell).first.click()
    first.page.keyboard.press("End")
    first.page.keyboard.insert_text(" + 41  # from ada")
    expect(second.page.locator(cell).first).to_have_text("1 + 41  # from ada", use_inner_text=True)
    second.page.locator(cell).first.click()
    second.page.keyboard.press("Control+End")
    second.page.keyboard.insert_text(", and bob")
    expect(first.page.locator(cell).first).to_contain_text("# from ada, and bob")
    expect(first.page.locator(".jp-remote-cursor").first).to_be_attached()
    for one, theirs in ((first, bob), (second, ada)):
        expect(one.page.locator("body")).to_contain_text(theirs.name)
    second.page.keyboard.press("Shift+Enter")
    first.output("42")
    first.picture("together-lab", themes=False)

    cookies = "; ".join(
        f"{one['name']}={one['value']}" for one in first.context.cookies(f"{hub.url}/user/{group.team}/")
    )
    room = f"ws://127.0.0.1:{hub.port}/user/{group.team}/api/collaboration/room/JupyterLab:globalAwareness"
    websocket.create_connection(room, cookie=cookies, origin=hub.url, timeout=30).shutdown()
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        websocket.create_connection(room, cookie=cookies, origin="https://elsewhere.example", timeout=30)

    for one in (first, second):  # what the other's page and the kernel tell each other
        one.complaints[:] = [text for text in one.complaints if not text.startswith("Comm not found")]

    other.open(f"/user/{group.team}/lab")
    expect(other.page.locator("body")).to_contain_text("403")
    other.forget("403")
