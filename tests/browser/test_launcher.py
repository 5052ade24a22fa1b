"""JupyterLab's launcher: the kernels that somebody may use, no other, and each of them runs a cell."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests import julia_here, r_repository
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import PREFIX, Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(300)]

YAML = """\
hub: {{name: Evening School, listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: all}}
environments:
  default: {{kind: existing, prefix: {prefix}, display: Python 3 (course)}}
  deep: {{kind: existing, prefix: {prefix}, display: Deep learning, allow: {{groups: [{group}]}}}}
  stats: {{kind: r, display: Statistics, repository: ./cran, packages: [low], allow: {{groups: [{group}]}}}}
  julia:
    {{kind: julia, display: Simulations, julia: {julia}, packages: [./Greeting], registries: [./registry/Registry],
     pkg_server: "", allow: {{groups: [{group}]}}}}
"""
CARDS = ".jp-LauncherCard[data-category=Notebook]"


@pytest.fixture
def group() -> Iterator[str]:
    name = f"hwt-{secrets.token_hex(4)}"
    subprocess.run(["groupadd", name], check=True)
    yield name
    subprocess.run(["groupdel", name], check=False, capture_output=True)


@pytest.fixture
def hub(service: Callable[..., Service], group: str) -> Service:
    one = service(YAML.format(prefix=PREFIX, group=group, julia=julia_here.julia() / "usr"))
    r_repository.write(one.folder / "cran", ("low", "1.0", r_repository.archive("low", "1.0")))
    julia_here.registry(one.folder / "registry", "IJulia", "Words")
    shutil.copytree(julia_here.PACKAGES / "Greeting", one.folder / "Greeting")
    return one.up(wait=240)


def of_the_machine() -> set[str]:
    """Return the names of kernels that are registered on this machine, such as Debian's of R."""
    files = [*Path("/usr").glob("share/jupyter/kernels/*/kernel.json")]
    files += Path("/usr/local").glob("share/jupyter/kernels/*/kernel.json")
    return {json.loads(file.read_text())["display_name"] for file in files}


def make_own(person: Account, name: str) -> None:
    """Make a virtual environment in a home, with ipykernel from the environment of the tests."""
    prefix = person.home / name
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    (packages,) = prefix.glob("lib/python3*/site-packages")
    (ours,) = PREFIX.glob("lib/python3*/site-packages")
    (packages / "ipykernel").symlink_to(ours / "ipykernel")
    (packages / "rest.pth").write_text(f"{ours}\n")
    subprocess.run(["chown", "-R", f"{person.uid}:{person.gid}", str(prefix)], check=True)


def runs(browser: Person, kernel: str, code: str, output: str) -> None:
    """Make a notebook with a kernel from the launcher, run a cell in it, and open the launcher again."""
    browser.page.locator(f'{CARDS}[title="{kernel}"]:visible').click()
    browser.page.locator(CARDS).first.wait_for(state="detached")
    browser.page.locator("#jp-main-statusbar", has_text=f"{kernel} | Idle").wait_for(state="attached")
    browser.run_cell(code)
    browser.output(output)
    browser.page.locator(".lm-TabBar-addButton:visible").first.click()


def test_two_people_see_their_kernels_and_each_runs_a_cell(
    hub: Service, group: str, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """One is in the group and has an environment of his own; the other is not, and has a broken one."""
    ada, bob = account(groups=[group]), account()
    make_own(ada, "mine")
    make_own(bob, "old")
    next((bob.home / "old").glob("lib/python3*/site-packages/ipykernel")).unlink()
    broken = (
        f"old (~/old): broken, it has no ipykernel; install it with {bob.home}/old/bin/python -m pip install ipykernel"
    )
    shared = {"Python 3 (course)", *of_the_machine()}
    expected = {ada: shared | {"Deep learning", "Statistics", "Simulations", "mine (~/mine)"}, bob: shared | {broken}}
    for one, titles in expected.items():
        browser = person(hub)
        browser.enter(one)
        browser.lab()
        expect(browser.page.locator(CARDS)).to_have_count(len(titles))
        assert {card.get_attribute("title") for card in browser.page.locator(CARDS).all()} == titles
        if one is ada:
            browser.picture("launcher", themes=False)
            runs(browser, "mine (~/mine)", "import sys; print(sys.prefix, 6 * 7)", f"{ada.home}/mine 42")
            runs(browser, "Statistics", "cat(low::low_version(), 6 * 7)", "1.0 42")
            runs(browser, "Simulations", "using Greeting; println(greet(6 * 7))", "hello, 42")
        else:
            runs(browser, "Python 3 (course)", "import os; print(os.getuid(), 6 * 7)", f"{bob.uid} 42")
