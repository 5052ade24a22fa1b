"""Somebody lets a named person into his server, sees whom he let in, and ends it: at once, open pages included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import websocket
from playwright.sync_api import Page, expect
from tests.browser.conftest import Person
from tests.conftest import Account, wait_until
from tests.running import Kernel, Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

YAML = """\
hub: {name: Physics Lab, listen: "127.0.0.1:{port}", landing: home}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 1G, servers: 2}
sharing: true
"""
AT_ONCE = 6
"""Seconds within which whoever is let in no more must be out: the server asks every two."""


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service]) -> Service:
    return service(YAML).up()


@pytest.fixture(scope="module")
def alice(hub: Service, module_account: Callable[..., Account]) -> Notebook:
    """Alice's server, which runs."""
    return hub.start(module_account().name)


def share(hub: Service, owner: str, to: str, method: str = "POST") -> Any:
    """Have somebody let a person in, or with PATCH no more, as he himself does it."""
    headers = {"Authorization": f"token {hub.token(owner)}"}
    return hub.api(method, f"/shares/{owner}/", {"user": to}, headers=headers)


def is_closed(socket: websocket.WebSocket) -> bool:
    """Whether the server has closed a websocket; what it said before is read."""
    socket.settimeout(0.2)
    try:
        while socket.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
    except websocket.WebSocketTimeoutException:
        return False
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        return True
    return True


def test_who_is_let_in_works_there_until_it_ends(hub: Service, alice: Notebook, account: Callable[..., Account]):
    """Programs with a token of their own: requests, kernels, websockets. The owner's go on, and so does his kernel."""
    bob = account().name
    hub.add_user(bob)
    token = hub.token(bob)
    assert alice.ask("GET", "api/contents", token=token).status_code == 403
    assert share(hub, alice.user, bob).status_code == 200
    wait_until(lambda: alice.ask("GET", "api/contents", token=token).status_code == 200, AT_ONCE)
    mine = alice.kernel()
    assert mine.run("import getpass; getpass.getuser()") == repr(alice.user)
    theirs = Kernel(alice, mine.id)
    theirs.ws = alice.socket(f"api/kernels/{mine.id}/channels", token=token)
    assert theirs.run("limit = 6 * 7; limit") == "42"
    terminal = alice.socket(f"terminals/websocket/{alice.ask('POST', 'api/terminals').json()['name']}", token=token)
    assert not is_closed(terminal)

    began = time.monotonic()
    assert share(hub, alice.user, bob, "PATCH").status_code == 200
    wait_until(lambda: is_closed(theirs.ws) and is_closed(terminal), AT_ONCE)
    wait_until(lambda: alice.ask("GET", "api/contents", token=token).status_code == 403, AT_ONCE)
    print(f"out after {time.monotonic() - began:.1f} s")
    with pytest.raises(websocket.WebSocketBadStatusException):
        alice.socket(f"api/kernels/{mine.id}/channels", token=token)
    assert mine.run("limit") == "42"
    assert alice.ask("GET", "api/contents").status_code == 200


def test_who_ignores_the_end_is_out_all_the_same(hub: Service, alice: Notebook, account: Callable[..., Account]):
    """A client that never answers the closing of its websocket is no longer listened to."""
    bob = account().name
    hub.add_user(bob)
    share(hub, alice.user, bob)
    kernel = alice.kernel()
    deaf = Kernel(alice, kernel.id)
    deaf.ws = alice.socket(f"api/kernels/{kernel.id}/channels", token=hub.token(bob))
    assert deaf.run("1") == "1"
    share(hub, alice.user, bob, "PATCH")
    time.sleep(AT_ONCE)
    try:
        for _ in range(3):
            deaf.send("spoken = 'after the end'")
            time.sleep(0.2)
    except OSError:
        pass
    assert "NameError" in kernel.run("spoken")


def test_nobody_is_let_in_by_somebody_else(hub: Service, alice: Notebook, account: Callable[..., Account]):
    """Neither by a stranger, nor by who is let in himself; and who is let in starts and stops nothing."""
    bob, carol = account().name, account().name
    for name in (bob, carol):
        hub.add_user(name)
    share(hub, alice.user, bob)
    headers = {"Authorization": f"token {hub.token(bob)}"}
    for method in ("POST", "PATCH", "DELETE"):
        answer = hub.api(method, f"/shares/{alice.user}/", {"user": carol}, headers=headers)
        assert answer.status_code in (403, 404), answer.text
    for method in ("POST", "DELETE"):
        assert hub.api(method, f"/users/{alice.user}/server", headers=headers).status_code in (403, 404)
    assert alice.ask("GET", "api/contents", token=hub.token(carol)).status_code == 403
    answer = share(hub, alice.user, "nobody-of-this-name")
    assert answer.status_code == 400 and "No such user" in answer.json()["message"]
    share(hub, alice.user, bob, "PATCH")


def test_two_people_in_browsers(
    hub: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    ann, ben = account(), account()
    notebook = hub.start(ann.name)
    hub.start(ann.name, "second")
    owner, guest = person(hub), person(hub)
    guest.enter(ben)
    expect(guest.page.locator("#sharing")).not_to_contain_text("Shared with you")
    owner.enter(ann)
    page = owner.page
    page.fill("#share-with", ann.name)
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#share-problem")).to_have_text("That is you.")
    page.fill("#share-with", "no-such-person")
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#share-problem")).to_have_text("No such user: no-such-person")
    owner.forget("400 .*/shares/")
    page.fill("#share-with", ben.name)
    page.get_by_role("button", name="Share").click()
    given = page.locator("#sharing [data-to]")
    expect(given).to_have_text([f"{ben.name} may work in Default server End"], use_inner_text=True)
    owner.picture("sharing-owner")

    link = guest.page.get_by_role("button", name=f"Open Default server of {ann.name}")  # without loading the page again
    expect(link).to_be_visible()
    guest.picture("sharing-guest")
    link.click()
    work(guest, guest.page)
    cookies = {one["name"]: one["value"] for one in guest.context.cookies(f"{hub.url}{notebook.base}")}

    page.get_by_role("button", name=f"End sharing Default server with {ben.name}").click()
    expect(given).to_have_count(0)
    began = time.monotonic()
    wait_until(lambda: asked(notebook, cookies) in (302, 403), AT_ONCE)
    assert time.monotonic() - began < AT_ONCE
    guest.open("/hub/home")
    expect(guest.page.locator("#sharing")).not_to_contain_text("Shared with you")
    guest.open(f"{notebook.base}lab")
    expect(guest.page.locator("body")).to_contain_text(r"403")
    guest.complaints.clear()  # JupyterLab has lost its server


def work(guest: Person, page: Page) -> None:
    """Say yes to JupyterHub's question, and run a cell."""
    page.get_by_role("button", name="Authorize").click()
    guest.lab()
    page.locator('.jp-LauncherCard[title^="Python"]').first.click()
    guest.run_cell("6 * 7")
    guest.output("42")


def asked(notebook: Notebook, cookies: dict[str, str]) -> int:
    """Ask with a copy of a browser's cookies."""
    import httpx

    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    address = f"{notebook.service.url}{notebook.base}api/contents"
    return httpx.get(address, headers={"Cookie": header}, timeout=30).status_code


def test_switched_off_all_that_was_shared_ends(hub: Service, alice: Notebook, account: Callable[..., Account]):
    bob = account().name
    hub.add_user(bob)
    share(hub, alice.user, bob)
    token = hub.token(bob)
    assert alice.ask("GET", "api/contents", token=token).status_code == 200
    hub.down()
    hub.yaml = hub.yaml.replace("sharing: true\n", "")
    hub.up()
    alice = hub.start(alice.user)
    assert alice.ask("GET", "api/contents", token=token).status_code == 403
    assert share(hub, alice.user, bob).status_code == 403
