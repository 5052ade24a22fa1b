"""What people do in JupyterLab's launcher, and what those of two examples find there and on the hub's pages."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

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


def julia_class_kernel(page: Page, hub: Service) -> None:
    """The Julia that the file names starts from the launcher, with the shared packages, and has no image here."""
    julia = load(hub.folder / "hub.yaml").hub.environments["julia"]
    offers(page, {"Python 3", julia.display or "", *of_the_machine()})
    packages = ", ".join(julia.packages)
    code = f"using {packages}; println(nrow(DataFrame(a = [1, 2, 3])), ' ', plot([1, 2]))".replace("' '", '" "')
    runs(page, julia.display or "", code, "3 a line through 2 points")


def write_course(folder: Path) -> None:
    """Make what a teacher hands out: a notebook, and notes beside it."""
    cell = {"cell_type": "markdown", "id": "one", "metadata": {}, "source": "The first lesson"}
    folder.mkdir(mode=0o755)
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "lesson.ipynb").write_text(json.dumps(notebook))
    (folder / "notes.md").write_text("Read me")


def handed_out(page: Page, hub: Service, folder: Path, home: Path, name: str) -> None:
    """The course is in somebody's home, and opens; an update reaches him, and what he has deleted comes when he asks.

    Args:
        page: where he is logged in.
        hub: the service.
        folder: what root hands out, as `write_course` made it.
        home: his.
        name: how the course is called in hub.yaml, and in his home.
    """
    page.goto(f"{hub.url}/user/{home.name}/lab/tree/{name}/lesson.ipynb")
    expect(page.locator(".jp-MarkdownOutput:visible")).to_contain_text("The first lesson")
    (home / name / "notes.md").unlink()
    (folder / "second.md").write_text("More")
    hub.cli("content", "push")
    assert (home / name / "second.md").read_text() == "More"
    assert not (home / name / "notes.md").exists()
    page.goto(f"{hub.url}/hub/home")
    page.get_by_role("link", name="Course files").click()
    page.get_by_role("button", name="Get the original of notes.md").click()
    expect(page.locator("#told")).to_have_text("notes.md is as it was handed out.")
    assert (home / name / "notes.md").read_text() == "Read me"


def julia_class_together(page: Page, hub: Service, group: str, shared: Path) -> None:
    """The group has its folder and a server in it, which a student starts from his home page; he may let others in."""
    assert (shared.stat().st_mode & 0o7777, shared.group()) == (0o2770, group)
    (shared / "ours.md").write_text("Ours")
    page.goto(f"{hub.url}/hub/home")
    expect(page.locator("#share-with")).to_be_visible()
    row = page.locator("#together [data-account]")
    expect(row).to_contain_text(f"Group {group}")
    row.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Authorize").click()
    page.locator(".jp-DirListing-item", has_text="ours.md").wait_for()


def julia_class_lessons(page: Page, hub: Service, student: str) -> None:
    """The teacher sees who is in the class, and when it meets next by the timetable of the file."""
    lessons = load(hub.folder / "hub.yaml").hub.classes["julia"]
    page.goto(f"{hub.url}/hub/classes/julia")
    expect(page.locator("h1")).to_have_text("Julia")
    expect(page.locator("#people tbody tr")).to_have_count(len(lessons.users))
    expect(page.locator(f"tr[data-user='{student}'] .hw-state")).to_contain_text("Running")
    coming = lessons.hours.following(datetime.now(UTC))
    assert coming and coming.begin.astimezone(ZoneInfo(lessons.hours.zone)).strftime("%a %H:%M") in (
        "Mon 09:00",
        "Thu 14:00",
    )
    expect(page.locator("#when")).to_contain_text(f"{coming.begin.astimezone():%H:%M}")
