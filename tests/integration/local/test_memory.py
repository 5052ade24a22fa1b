"""What an idle user costs: pages that his processes do not share with everybody else's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Account
from tests.running import Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(240)]


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


MERGED = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, merge_memory: true}
"""
SWITCH = Path("/sys/kernel/mm/ksm/run")


@pytest.mark.skipif(not SWITCH.exists(), reason="needs a kernel with KSM")
def test_memory_is_merged_where_it_is_asked_for_and_not_after(
    service: Callable[..., Service], account: Callable[..., Account], notebook: Notebook
) -> None:
    """Servers and kernels are marked; the machine's switch is put back when the service stops."""
    before = SWITCH.read_text()  # a machine may merge memory already
    running = service(MERGED).up()
    kernel = running.start(account().name).kernel()
    pid = int(kernel.run("import os; os.getpid()"))
    assert SWITCH.read_text() == "1\n"
    assert _marked(pid) and _marked(running.listed()[0]["pid"])
    assert not _marked(int(notebook.kernel().run("import os; os.getpid()")))
    assert running.down() == 0
    assert SWITCH.read_text() == before


def _marked(pid: int) -> bool:
    return "ksm_merge_any: yes" in Path(f"/proc/{pid}/ksm_stat").read_text()
