"""A person in Chromium: click Start on the home page, wait for the notebook, press Shift+Enter, see the output."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from accounts import put_notebook
from chromium import Gone, Tab
from stack import Stack

NOTEBOOK_FIRST = {"default_url": "/lab/tree/x.ipynb"}
"""Spawner traits of both sides: JupyterLab opens on the notebook."""

TYPING, LOOKING = 3.0, 1.0
"""Seconds that a person takes for name and password, and to find Start: the same on both sides, before the clock.

Meanwhile a browser may make ready what the page names, which is what Hubwright's do."""

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


def visit(stack: Stack, user: str, password: str, profile: Path) -> Visit:
    """Log in if the profile is not, then click Start and run the cell; a screenshot is kept when it fails.

    The user's server must not run. The browser is started before the clock and ended after it; its profile stays.
    """
    put_notebook(user)
    with Tab(profile) as tab:
        try:
            _to_the_home_page(tab, stack, user, password)
            return _start_and_run(tab)
        except (Gone, TimeoutError) as error:
            if stack.log_to is not None:
                tab.picture(stack.log_to / f"{stack.name}-{user}.png")
            raise RuntimeError(f"{stack.name}, {user}: {error}") from error


def _to_the_home_page(tab: Tab, stack: Stack, user: str, password: str) -> None:
    tab.open(f"{stack.url}/hub/home")
    tab.wait("document.readyState === 'complete' && document.querySelector('#start, input[name=username]')")
    if tab.run("Boolean(document.querySelector('input[name=username]'))"):
        time.sleep(TYPING)
        for name, text in (("username", user), ("password", password)):
            tab.click(f"input[name={name}]")
            tab.write(text)
        tab.run("document.querySelector('input[name=password]').form.requestSubmit()")
    tab.wait("document.readyState === 'complete' && document.querySelector('#start')")
    time.sleep(LOOKING)


def _start_and_run(tab: Tab) -> Visit:
    begin = time.perf_counter()
    tab.click("#start")
    tab.wait(_SHOWN)
    notebook = time.perf_counter() - begin
    tab.click(_CELL)
    tab.wait(_IDLE)
    kernel = time.perf_counter() - begin
    presses = 0
    while presses < 50:
        presses += 1
        tab.shift_enter()
        try:
            tab.wait(_TAKEN, 0.2)
            break
        except TimeoutError:
            tab.click(_CELL)
    tab.wait(_OUTPUT)
    return Visit(notebook, kernel, time.perf_counter() - begin, presses)
