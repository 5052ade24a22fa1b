"""Chromium in front of the real service: what it shows, what it asks for, and what it complains about."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bench.chromium import FLAGS
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright
from tests.conftest import Account
from tests.integration.conftest import service  # noqa: F401 (a fixture)
from tests.running import Service

PICTURES = Path(__file__).parents[2] / "artifacts" / "browser"
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 844}

expect.set_options(timeout=20_000)


@dataclass
class Person:
    """One browser with a profile of its own, looking at one service."""

    service: Service
    context: BrowserContext
    page: Page
    asked: list[str] = field(default_factory=list)
    """The address of every request."""
    complaints: list[str] = field(default_factory=list)
    """Errors in the console, and scripts that failed."""
    elsewhere: str = "$^"
    """A pattern of addresses that may be asked besides: those of a provider."""

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.service.url}{path}")
        return self.page

    def sign_in(self, name: str, password: str) -> Page:
        """Fill the form that the page shows."""
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", password)
        self.page.press("input[name=password]", "Enter")
        return self.page

    def enter(self, someone: Account) -> Page:
        """Go to the address that people know, and log in."""
        self.open("/")
        return self.sign_in(someone.name, someone.password)

    def lab(self) -> Page:
        """Wait until JupyterLab can be used."""
        self.page.wait_for_selector(".jp-LauncherCard:visible, .jp-NotebookPanel:visible")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        return self.page

    def run_cell(self, code: str) -> None:
        """Type into the cell that is selected and run it, once the kernel is there."""
        self.page.locator("#jp-main-statusbar", has_text=" | Idle").wait_for(state="attached")
        self.page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")

    def output(self, text: str) -> None:
        """Wait for it below a cell."""
        self.page.locator(".jp-OutputArea-output", has_text=text).first.wait_for()

    def picture(self, name: str, *, themes: bool = True) -> None:
        """Keep what is on the screen, wide and narrow, light and dark; for a person to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        for theme in ("light", "dark") if themes else ("light",):
            self.theme(theme)
            self.page.wait_for_timeout(300)
            for size, viewport in (("wide", WIDE), ("narrow", NARROW)):
                self.page.set_viewport_size(viewport)  # type: ignore[arg-type]
                self.page.wait_for_timeout(150)
                self.page.screenshot(path=str(PICTURES / f"{name}-{size}-{theme}.png"))
                if viewport == NARROW:
                    self.fits(name)
        self.theme("light")
        self.page.set_viewport_size(WIDE)  # type: ignore[arg-type]

    def fits(self, name: str) -> None:
        """A page of ours is no wider than the screen, so that nobody has to move it sideways on a phone.

        JupyterLab's own is: it has a least width, whatever the screen.
        """
        if self.page.locator(".jp-LabShell").count():
            return
        page = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        wide, screen = self.page.evaluate(page)
        assert wide <= screen, f"{name} is {wide} pixels wide on a screen of {screen}"

    def theme(self, theme: str) -> None:
        """Have the system wish for light or dark, and wait until JupyterLab, where it is there, has followed.

        A change that begins while the picture over the last one still goes away ends in an error of JupyterLab's.
        """
        self.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        self.page.wait_for_function(
            "light => !document.body.dataset.jpThemeLight || document.body.dataset.jpThemeLight === light",
            arg="true" if theme == "light" else "false",
        )
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def strangers(self) -> list[str]:
        """Return what was asked of anybody but the service."""
        own = re.compile(
            rf"(http|ws)://127\.0\.0\.1:{self.service.port}/|data:|blob:|about:|chrome-error:|{self.elsewhere}"
        )
        return [url for url in self.asked if not own.match(url)]

    def forget(self, pattern: str) -> None:
        """Take the complaints that a test expects off the list; there must be some."""
        left = [text for text in self.complaints if not re.search(pattern, text)]
        assert len(left) < len(self.complaints), self.complaints
        self.complaints[:] = left


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    assert found, "Chromium is missing: apt-get install chromium"
    return found


@pytest.fixture(scope="module")
def admin(module_account: Callable[..., Account]) -> Account:
    """Whom the hub of a module names as an admin."""
    return module_account()


@pytest.fixture
def person(
    playwright: Playwright, chromium: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[Service], Person]]:
    """Make people; at the end none may have asked a stranger for anything, nor have seen an error in the console."""
    made: list[Person] = []
    profiles: list[str] = []

    def make(at: Service) -> Person:
        profiles.append(tempfile.mkdtemp(prefix="hwt-profile-"))
        context = playwright.chromium.launch_persistent_context(
            profiles[-1], executable_path=chromium, args=FLAGS, headless=True, viewport=WIDE, locale="en-GB"
        )
        context.set_default_timeout(40_000)
        one = Person(at, context, context.pages[0])
        context.on("request", lambda sent: one.asked.append(sent.url))
        context.on("console", lambda said: one.complaints.append(_words(said)) if said.type == "error" else None)
        context.on("weberror", lambda failed: one.complaints.append(str(failed.error)))
        one.page.on("websocket", lambda opened: one.asked.append(opened.url))
        made.append(one)
        return one

    yield make
    for number, one in enumerate(made):
        PICTURES.mkdir(parents=True, exist_ok=True)
        one.page.screenshot(path=str(PICTURES / f"end-{request.node.name}-{number}.png"))
        one.context.close()
    for profile in profiles:
        shutil.rmtree(profile, ignore_errors=True)
    for one in made:
        assert one.strangers() == []
        assert one.complaints == []


def at_provider(page: Page, name: str, password: str) -> None:
    """Fill the login page of the tests' OpenID provider."""
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")


def _words(said: ConsoleMessage) -> str:
    return f"{said.text} ({said.location['url']})"
