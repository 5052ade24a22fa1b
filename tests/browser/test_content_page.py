"""What somebody was handed out, as he sees it: a link that opens a notebook, and originals again, one by one."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]

YAML = """\
hub: {{name: Evening School, listen: "127.0.0.1:{{port}}", landing: home}}
auth: {{kind: pam, allow: all}}
content:
  course: {{folder: {folder}, target: lessons/course}}
"""
CELL = {"cell_type": "markdown", "id": "one", "metadata": {}, "source": "The first lesson"}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
FILES = {"week 1/lesson.ipynb": json.dumps(NOTEBOOK), "week 1/data.csv": "1,2", "notes.md": "Read me"}


@pytest.fixture
def hub(service: Callable[..., Service]) -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="hwt-course-", dir="/srv"))
    folder.chmod(0o755)
    for path, text in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    yield service(YAML.format(folder=folder)).up()
    shutil.rmtree(folder)


def test_a_student_opens_a_link_and_gets_originals_again(
    hub: Service, account: Callable[[], Account], person: Callable[[Service], Person]
) -> None:
    student = account()
    browser = person(hub)
    page = browser.page
    page.goto(hub.cli("content", "link", "course", "week 1/lesson.ipynb").stdout.strip())
    browser.sign_in(student.name, student.password)
    page.wait_for_selector(".jp-NotebookPanel:visible")
    expect(page.locator(".jp-MarkdownOutput")).to_contain_text("The first lesson")

    course = student.home / "lessons" / "course"
    (course / "notes.md").unlink()
    (course / "week 1/data.csv").write_text("my own")
    browser.open("/hub/home")
    page.get_by_role("link", name="Course files").click()
    expect(page.locator("h1")).to_have_text("Course files")
    rows = page.locator("[data-file]")
    expect(rows).to_have_count(2)
    expect(page.locator("[data-file='notes.md']")).to_contain_text("deleted by you")
    expect(page.locator("[data-file='week 1/data.csv']")).to_contain_text("edited by you")
    browser.picture("content")

    page.get_by_role("button", name="Get the original of notes.md").click()
    expect(page.locator("#told")).to_have_text("notes.md is as it was handed out.")
    expect(rows).to_have_count(1)
    assert (course / "notes.md").read_text() == "Read me"
    page.get_by_role("button", name="Get the original of week 1/data.csv").click()
    copy = f"week 1/data (original of {datetime.now().astimezone():%Y-%m-%d}).csv"
    expect(page.locator("#told")).to_contain_text(f"The original is beside yours: {copy}")
    assert (course / "week 1/data.csv").read_text() == "my own"
    assert (course / copy).read_text() == "1,2"

    page.get_by_role("link", name="lessons/course").click()
    browser.lab()
    expect(page.locator(".jp-DirListing-item", has_text="week 1")).to_be_visible()
