"""What people do in JupyterLab's launcher, and what those of an example find there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, expect
from tests import python_here
from tests.running import Service

from hubwright.config.load import load

CARDS = ".jp-LauncherCard[data-category=Notebook]"
_NOTEBOOK = ".jp-NotebookPanel:visible"
PLAIN = {
    "r": ("cat('low' %in% rownames(installed.packages()), R.version$language)", "FALSE R"),
    "python": ("import ipykernel; print('/environments/' in ipykernel.__file__, 'plain')", "False plain"),
    "julia": ('println("plain", Base.find_package("Greeting"))', "plainnothing"),
}
"""By language: a cell that runs where no environment of hub.yaml is, and what it prints."""


def of_the_machine() -> dict[str, tuple[str, str]]:
    """Return the cells of kernels that are registered on this machine, such as Debian's of R, by the kernels' names."""
    files = [*Path("/usr").glob("share/jupyter/kernels/*/kernel.json")]
    files += Path("/usr/local").glob("share/jupyter/kernels/*/kernel.json")
    specs = [json.loads(file.read_text()) for file in files]
    return {one["display_name"]: PLAIN[one["language"].lower()] for one in specs}


def offers(page: Page, kernels: set[str]) -> None:
    """The launcher has these kernels, and no other."""
    expect(page.locator(CARDS)).to_have_count(len(kernels))
    assert {card.get_attribute("title") for card in page.locator(CARDS).all()} == kernels


def has_kernel(page: Page, what: str) -> None:
    """The notebook that is seen has this kernel in this state; elsewhere it is "Idle" also before it is asked for."""
    page.locator("#jp-main-statusbar").get_by_role("button", name=what).wait_for()


def runs(page: Page, kernel: str, code: str, output: str) -> None:
    """Make a notebook with a kernel from the launcher, run a cell in it, and open the launcher again."""
    page.locator(f'{CARDS}[title="{kernel}"]:visible').click()
    page.locator(CARDS).first.wait_for(state="detached")
    has_kernel(page, f"{kernel} | Idle")
    page.locator(f"{_NOTEBOOK} .jp-CodeCell .cm-content").last.click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    page.locator(f"{_NOTEBOOK} .jp-OutputArea-output", has_text=output).first.wait_for()
    page.locator(".lm-TabBar-addButton:visible").first.click()
    page.locator(f"{CARDS}:visible").first.wait_for()


def linux_lab_kernels(page: Page, hub: Service, home: Path) -> None:
    """Each shared environment and the one in the home runs in its own place, with the packages that the file names."""
    entries = load(hub.folder / "hub.yaml").hub.environments
    offers(page, {*(entry.display for entry in entries.values()), "mine (~/mine)", *of_the_machine()})
    assert {"ipywidgets", "numpy", "pandas"} <= {*entries["default"].packages} < {*entries["large"].packages}
    runs(page, "mine (~/mine)", "import sys, os; print(sys.prefix, os.getuid() > 999)", f"{home}/mine True")
    for name, entry in entries.items():
        modules = ", ".join(one.replace("scikit-learn", "sklearn") for one in entry.packages)
        code = f"import sys, {modules}; print(numpy.__file__.startswith('{hub.environments}/{name}/'), sys.version)"
        version = python_here.VERSION if entry.python else "{}.{}".format(*sys.version_info)
        runs(page, entry.display, code, f"True {version}.")
