"""JupyterLab's launcher: the kernels that somebody may use, no other, and each of them runs a cell."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect
from tests import julia_here, r_repository
from tests.browser.at_work import CARDS, has_kernel, of_the_machine, offers, runs
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.running import PREFIX, Service

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(500)]

YAML = """\
hub: {{name: Evening School, listen: "127.0.0.1:{{port}}"}}
auth: {{kind: pam, allow: all}}
environments:
  default: {{kind: uv, display: Python 3 (course), packages: [six==1.16.0]}}
  deep: {{kind: existing, prefix: {prefix}, display: Deep learning, allow: {{groups: [{group}]}}}}
  stats: {{kind: r, display: Statistics, repository: ./cran, packages: [low], allow: {{groups: [{group}]}}}}
  julia:
    {{kind: julia, display: Simulations, julia: {julia}, packages: [./Greeting], registries: [./registry/Registry],
     pkg_server: "", allow: {{groups: [{group}]}}}}
"""


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


def says_why(browser: Person, kernel: str, reason: str) -> None:
    """Choose a broken kernel in the launcher: the page says what is wrong with it, and offers others, without a wait."""
    page = browser.page
    page.locator(f'{CARDS}[title="{kernel}"]:visible').click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Error Starting Kernel")
    expect(dialog).to_contain_text(f"This kernel cannot start: {reason}.")
    dialog.get_by_role("button", name="Ok").click()
    expect(dialog).to_contain_text("Select Kernel")
    dialog.get_by_role("button", name="No Kernel").click()
    expect(dialog).to_have_count(0)
    has_kernel(page, "No Kernel | Unknown")


def test_two_people_see_their_kernels_and_each_runs_a_cell(
    hub: Service, group: str, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    """One is in the group and has an environment of her own and a broken one; the other has one of his own."""
    ada, bob = account(groups=[group]), account()
    ada.add_environment("mine")
    ada.add_environment("old")
    bob.add_environment("his")
    next((ada.home / "old").glob("lib/python3*/site-packages/ipykernel")).unlink()
    reason = f"it has no ipykernel; install it with {ada.home}/old/bin/python -m pip install ipykernel"
    broken = f"old (~/old): broken, {reason}"
    course = f"import six; print(six.__file__.startswith('{hub.environments}/default/'), six.__version__)"
    shared = {"Python 3 (course)": (course, "True 1.16.0"), **of_the_machine()}
    where = "import sys, os; print(sys.prefix, os.getuid())"
    its_groups = {
        "Deep learning": (f"import ipykernel; print(ipykernel.__file__.startswith('{PREFIX}/'), 'deep')", "True deep"),
        "Statistics": ("cat(low::low_version(), R.version$language)", "1.0 R"),
        "Simulations": ("using Greeting; println(greet(VERSION))", f"hello, {julia_here.VERSION}"),
    }
    expected = {
        ada: {**shared, **its_groups, "mine (~/mine)": (where, f"{ada.home}/mine {ada.uid}")},
        bob: {**shared, "his (~/his)": (where, f"{bob.home}/his {bob.uid}")},
    }
    browsers = {one: person(hub) for one in expected}
    for one, cells in expected.items():
        browser = browsers[one]
        browser.enter(one)
        browser.lab()
        titles = {*cells, broken} if one is ada else {*cells}
        offers(browser.page, titles)
        if one is ada:
            browser.picture("launcher", themes=False)
        for kernel, (code, output) in cells.items():
            runs(browser.page, kernel, code, output)
        if one is ada:
            says_why(browser, broken, reason)
    browsers[ada].forget("500 .*/api/sessions")
    browsers[ada].forget("reading 'kernel'")  # JupyterLab's own, of a session that never was
