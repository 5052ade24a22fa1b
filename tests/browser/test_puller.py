"""nbgitpuller beside Hubwright: a link of it opens the notebook, and brings a new version of it without losing an edit."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests import git_here
from tests.browser.conftest import Person
from tests.conftest import Account, wait_until
from tests.integration.test_install import ROOT, environment, pip_settings  # noqa: F401 (environment is a fixture)
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(300)]

YAML = """\
hub: {{name: Evening School, listen: "127.0.0.1:{{port}}", landing: home}}
auth: {{kind: pam, allow: all}}
content:
  seminar: {{git: "{address}", ref: main, target: teaching/seminar, allow: {{}}}}
"""
LESSON = "week 1/lesson.ipynb"
CELL = ".jp-Notebook .jp-CodeCell .cm-content"


@dataclass
class WithPuller(Service):
    """A service that runs from an environment of its own."""

    environment: Path = Path()

    def command(self, *words: str) -> list[str]:
        return [str(self.environment / "bin" / "python"), "-m", "hubwright", *super().command(*words)[1:]]


def lesson(source: str) -> str:
    """Return a notebook as Jupyter writes it, with one cell."""
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": [source]}
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def release(repository: Path, source: str, data: str) -> None:
    """Commit a version of the course: what the notebook's cell says, and the data beside it."""
    (repository / LESSON).write_text(lesson(source))
    (repository / LESSON).with_name("data.csv").write_text(data)
    git_here.commit(repository)


@pytest.fixture
def repository() -> Iterator[Path]:
    top = Path(tempfile.mkdtemp(prefix="hwt-course-", dir="/srv"))
    git_here.begin(top / "course")
    (top / "course" / LESSON).parent.mkdir()
    release(top / "course", "6 * 7", "1,2")
    yield top / "course"
    shutil.rmtree(top)


@pytest.fixture
def hub(service: Callable[..., Service], environment: Path, repository: Path) -> Iterator[Service]:  # noqa: F811
    """A service with nbgitpuller, whose contents come from the repository by HTTP."""
    (wanted,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["nbgitpuller"]
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--root-user-action=ignore", wanted]
    subprocess.run(pip, check=True, timeout=200, env={"PATH": "/usr/bin:/bin", **pip_settings()})
    with git_here.serving(repository.parent) as server:
        plain = service(YAML.format(address=server.address("course/.git")))
        one = WithPuller(plain.folder, plain.yaml, plain.port, environment=environment)
        try:
            yield one.up()
        finally:
            one.clean()


def test_a_student_follows_a_link_twice_and_what_he_edited_stays(
    hub: Service, repository: Path, account: Callable[[], Account], person: Callable[[Service], Person]
) -> None:
    student, browser = account(), person(hub)
    folder = student.home / "teaching" / "seminar" / "week 1"
    link = hub.cli("content", "link", "seminar", LESSON, "--nbgitpuller").stdout.strip()
    page = browser.page
    page.goto(link)
    browser.sign_in(student.name, student.password)
    expect(page.locator(CELL)).to_have_text("6 * 7")
    assert (folder / "data.csv").read_text() == "1,2"

    browser.lab()
    page.locator(CELL).click()
    page.keyboard.press("End")
    page.keyboard.insert_text(" + 1  # mine")
    page.keyboard.press("Control+s")
    wait_until(lambda: "# mine" in (folder / "lesson.ipynb").read_text(), 20)
    release(repository, "6 * 8", "3,4")
    page.goto(link)
    expect(page.locator(CELL)).to_have_text("6 * 7 + 1  # mine")
    assert (folder / "data.csv").read_text() == "3,4"
    (cell,) = json.loads((folder / "lesson.ipynb").read_text())["cells"]
    assert "".join(cell["source"]) == "6 * 7 + 1  # mine"
    browser.run_cell("")
    browser.output("43")
