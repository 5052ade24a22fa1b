"""The page of a class of sixty: every row fits into the window, and nothing that a teacher does is lost while it asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.browser.conftest import WIDE, Person
from tests.conftest import Account, wait_until
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(300)]

YAML = """\
hub: {{name: Physics Lab, listen: "127.0.0.1:{{port}}", landing: home}}
auth: {{kind: pam, allow: all}}
engine: {{kind: local}}
profiles: {{sizes: {{Small: {{cpu: 1, memory: 1G}}}}, default: {{sizes: [Small], servers: 2}}}}
metrics: {{every: 1s}}
classes:
  biology: {{title: Biology 101, users: [{users}], teachers: [{teacher}]}}
"""
ABSENT = [f"hwt-absent-{number:02}" for number in range(56)]
"""Who is in the class, and has never been here."""
LONG = "hwt-maximiliane.von-der-leuchten"
"""A name of 32 characters, which are the most; without an account."""
KERNELS = ("bioinformatics-with-long-reads-and-assembly", "statistics-for-the-second-year-of-biology")
RESTING = ("no-gpu", "plain")


@dataclass
class Large:
    """A class: ada computes, bob has kernels of long names, eve's server is stopped."""

    hub: Service
    teacher: Account
    ada: str
    bob: str
    eve: str

    def row(self, page: Page, name: str) -> Locator:
        return page.locator(f'tr[data-user="{name}"][data-server=""]')


@pytest.fixture(scope="module")
def large(service: Callable[..., Service], module_account: Callable[..., Account]) -> Large:
    teacher, ada, bob, eve = (module_account() for _ in range(4))
    for name in (*KERNELS, *RESTING):
        bob.add_kernel(name)
    users = [ada.name, bob.name, eve.name, LONG, *ABSENT]
    hub = service(YAML.format(users=", ".join(users), teacher=teacher.name)).up()
    for one in (teacher, eve):
        hub.add_user(one.name)
    hub.start(ada.name).kernel().send("import time\nwhile True: time.sleep(0.1)")
    notebook: Notebook = hub.start(bob.name)
    for name in (*KERNELS, *RESTING):
        notebook.kernel(name)
    headers = {"Authorization": f"token {hub.token(teacher.name)}"}
    wanted = {"users": [LONG]}
    assert hub.api("POST", "/hubwright/classes/biology/start", wanted, headers=headers).status_code == 202
    return Large(hub, teacher, ada.name, bob.name, eve.name)


@pytest.fixture
def teacher(large: Large, person: Callable[[Service], Person]) -> Person:
    """Who sees the class's page, with all that is told of its people."""
    someone = person(large.hub)
    someone.enter(large.teacher)
    page = someone.open("/hub/classes/biology")
    expect(page.locator("#people tbody tr")).to_have_count(60)
    expect(large.row(page, large.ada).locator("[data-cell=kernels]")).to_have_text("Python 3: busy", timeout=60_000)
    expect(large.row(page, large.bob).locator("[data-cell=kernels] li")).to_have_count(4, timeout=60_000)
    expect(large.row(page, large.bob).locator("[data-cell=memory]")).to_contain_text("of 1 GB", timeout=60_000)
    expect(large.row(page, LONG).locator(".hw-why")).to_contain_text("no account", timeout=60_000)
    return someone


def asked_again(page: Page, times: int = 2) -> None:
    """Wait until the page has been answered, and has shown it."""
    for _ in range(times):
        with page.expect_response("**/hubwright/classes/biology", timeout=60_000) as answer:
            pass
        assert answer.value.ok
    page.wait_for_timeout(300)


def test_all_that_is_told_fits_into_the_window(large: Large, teacher: Person) -> None:
    """Whatever its width: names, what a kernel does, and the buttons."""
    page = teacher.page
    for width in (1280, 992, 991, 600, 320):
        page.set_viewport_size({"width": width, "height": 800})
        teacher.fits(f"the page of a class at {width}")
        outside = page.locator("#people tbody tr *:visible").evaluate_all(
            """(all, width) => all.filter((one) => {
                const box = one.getBoundingClientRect();
                return box.left < 0 || box.right > width || one.scrollWidth > one.clientWidth + 1 && one.clientWidth;
            }).map((one) => one.outerHTML)""",
            width,
        )
        assert outside == [], width
        for name in (large.ada, large.bob, LONG, ABSENT[0]):
            row = large.row(page, name)
            head, button = row.locator("th").bounding_box(), row.locator("button").bounding_box()
            assert head and button and head["x"] + head["width"] <= button["x"], width
            assert abs(head["y"] - button["y"]) < 30, f"the button is beside the name at {width}"
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    large.row(page, ABSENT[-1]).scroll_into_view_if_needed()
    expect(page.locator("#people thead th").first).to_be_in_viewport()
    page.evaluate("window.scrollTo(0, 0)")
    teacher.picture("class-large")


def test_nothing_is_lost_while_the_page_asks(large: Large, teacher: Person) -> None:
    """What is typed, where one is in it, what is chosen, and how far one has scrolled; rows stay the same elements."""
    page = teacher.page
    page.locator("#minutes").select_option("120")
    page.locator("#text").press_sequentially("Half a message")
    page.locator("#text").evaluate("(field) => field.setSelectionRange(5, 6)")
    page.evaluate("window.kept = [...document.querySelectorAll('#people tbody tr')]")
    page.mouse.wheel(0, 700)
    page.wait_for_function("window.scrollY > 600")
    page.wait_for_timeout(500)
    far = page.evaluate("window.scrollY")
    asked_again(page)
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#text")).to_have_value("Half a message")
    expect(page.locator("#minutes")).to_have_value("120")
    where = "[document.activeElement.selectionStart, document.activeElement.selectionEnd, window.scrollY]"
    assert page.evaluate(where) == [5, 6, far]
    same = "[...document.querySelectorAll('#people tbody tr')].every((row, i) => row === window.kept[i])"
    assert page.evaluate(same)
    button = large.row(page, ABSENT[40]).get_by_role("button")
    button.focus()
    asked_again(page)
    expect(button).to_be_focused()


def test_a_teacher_finds_whom_he_looks_for(large: Large, teacher: Person) -> None:
    """By name, and by what is so now: who starts meanwhile is no more among those without a server."""
    page = teacher.page
    shown = page.locator("#people tbody tr:visible")
    which, part = page.get_by_label("Whom to show"), page.get_by_label("Filter by name")
    which.select_option("With a busy kernel")
    expect(shown).to_have_count(1)
    expect(large.row(page, large.ada)).to_be_visible()
    which.select_option("Not running")
    expect(shown).to_have_count(58)
    part.fill("HWT-absent-1")
    expect(shown).to_have_count(10)
    part.fill("nobody of this name")
    expect(page.locator("#empty")).to_have_text("None of them now.")
    part.fill(large.eve)
    large.row(page, large.eve).get_by_role("button", name="Start").click()
    expect(shown).to_have_count(0, timeout=60_000)
    part.fill("")
    asked_again(page)
    expect(shown).to_have_count(57)
    expect(page.locator("#empty")).to_be_hidden()

    def count(choice: str) -> int:
        which.select_option(choice)
        return shown.count()

    wait_until(lambda: count("Here") + count("Not here") == 60, 30)
    which.select_option("Everybody")
    expect(shown).to_have_count(60)
    expect(page.locator("#short")).to_contain_text("of 60 here, 3 have servers")


def test_that_the_hub_is_away_is_told_until_it_is_back(teacher: Person) -> None:
    page = teacher.page
    page.fill("#text", "Half a message")
    teacher.context.set_offline(True)
    expect(page.locator("#problem")).to_have_text("The hub does not answer.", timeout=60_000)
    teacher.context.set_offline(False)
    expect(page.locator("#problem")).to_be_hidden(timeout=60_000)
    expect(page.locator("#text")).to_have_value("Half a message")
    teacher.forget("ERR_INTERNET_DISCONNECTED")
