"""A person in Chromium: click Start on the home page, wait for the notebook, press Shift+Enter, see the output."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error, Page, Playwright, TimeoutError

from accounts import put_notebook
from chromium import FLAGS
from stack import Stack

NOTEBOOK_FIRST = {"default_url": "/lab/tree/x.ipynb"}
"""Spawner traits of both sides: JupyterLab opens on the notebook."""

TYPING, LOOKING = 3.0, 1.0
"""Seconds that a person takes for name and password, and to find Start: the same on both sides, before the clock.

In the first one a browser may make ready what the login page names, which is what Hubwright's does."""

_WAIT = 120_000
_CELL = ".jp-NotebookPanel .jp-CodeCell .jp-InputArea-editor"
_SHOWN = f"document.querySelector('{_CELL}')?.getClientRects().length > 0"
# The notebook's own indicator says idle before there is a kernel; the status bar says so only once it is connected.
_IDLE = "document.querySelector('#jp-main-statusbar')?.textContent.includes('Python 3 (ipykernel) | Idle')"
# Not dropped: the prompt turns from [ ]: to [*]: or [1]:
_TAKEN = r"/\[[*1]\]/.test(document.querySelector('.jp-NotebookPanel .jp-CodeCell .jp-InputPrompt')?.textContent)"
_OUTPUT = "document.querySelector('.jp-NotebookPanel .jp-OutputArea-output')?.textContent.includes('42')"


@dataclass(frozen=True)
class Visit:
    """Seconds from the click on Start."""

    notebook: float
    """The notebook's cell is on the screen."""
    kernel: float
    """Its kernel is idle, so a cell can run."""
    output: float
    """The output is on the screen."""
    presses: int
    """How often Shift+Enter was pressed: JupyterLab drops a run that comes before it has the kernel."""


def visit(playwright: Playwright, stack: Stack, user: str, password: str, profile: Path) -> Visit:
    """Log in if the profile is not, then click Start and run the cell; a screenshot is kept when it fails.

    The user's server must not run. The browser is started before the clock and ended after it; its profile stays.
    """
    put_notebook(user)
    context = playwright.chromium.launch_persistent_context(
        str(profile), executable_path="/usr/bin/chromium", args=FLAGS, headless=True
    )
    try:
        context.set_default_timeout(_WAIT)
        page = context.pages[0] if context.pages else context.new_page()
        try:
            _to_the_home_page(page, stack, user, password)
            return _start_and_run(page)
        except Error as error:
            if stack.log_to is not None:
                stack.log_to.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=str(stack.log_to / f"{stack.name}-{user}.png"), timeout=10_000)
            raise RuntimeError(f"{stack.name}, {user}: {error}") from error
    finally:
        context.close()


def _to_the_home_page(page: Page, stack: Stack, user: str, password: str) -> None:
    page.goto(f"{stack.url}/hub/home")
    page.wait_for_selector("#start, input[name=username]")
    if page.locator("input[name=username]").count():
        page.wait_for_timeout(TYPING * 1000)
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", password)
        page.locator("input[name=password]").press("Enter")
    page.wait_for_selector("#start")
    page.wait_for_load_state("load")
    page.wait_for_timeout(LOOKING * 1000)


def _start_and_run(page: Page) -> Visit:
    """Look at every frame: Playwright's own waiting for selectors looks only each 500 ms after a while."""
    begin = time.perf_counter()
    page.click("#start", no_wait_after=True)
    page.wait_for_function(_SHOWN)
    notebook = time.perf_counter() - begin
    page.click(_CELL)
    page.wait_for_function(_IDLE)
    kernel = time.perf_counter() - begin
    presses = 0
    while presses < 50:
        presses += 1
        page.keyboard.press("Shift+Enter")
        try:
            page.wait_for_function(_TAKEN, timeout=200)
            break
        except TimeoutError:
            page.click(_CELL)
    page.wait_for_function(_OUTPUT)
    return Visit(notebook, kernel, time.perf_counter() - begin, presses)
