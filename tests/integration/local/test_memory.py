"""What an idle user costs: pages that his processes do not share with everybody else's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local}
"""


@pytest.fixture(scope="module")
def notebook(service: Callable[..., Service], module_account: Callable[..., Account]) -> Notebook:
    return service(YAML).up().start(module_account().name)


def test_an_idle_kernel_copies_few_of_the_shared_pages(notebook: Notebook) -> None:
    """An executed one has 65 MB of its own; a walk over all modules would cost 11 MB more than the 21 there are."""
    kernel = notebook.kernel()
    assert kernel.run("6*7") == "42"
    assert _own_megabytes(int(kernel.run("import os; os.getpid()"))) < 27


def test_reset_leaves_what_was_imported_before_the_first_cell(notebook: Notebook) -> None:
    kernel = notebook.kernel()
    left = kernel.run("import sys; sorted(set(sys.modules) - get_ipython()._sys_modules_keys)")
    assert left == "[]"
    kernel.run("import this")
    kernel.run("get_ipython().reset(new_session=False, aggressive=True)")
    assert kernel.run("import sys; 'this' in sys.modules, 'json' in sys.modules") == "(False, True)"


def _own_megabytes(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(number) for number in re.findall(r"Private_Dirty: +(\d+)", text)) / 1024
