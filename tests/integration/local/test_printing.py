"""What programs print that a kernel runs: all of it comes, however much, and no log holds them up."""

from __future__ import annotations

import os
import signal

import pytest
from tests.conftest import Account, wait_until
from tests.running import Notebook

pytestmark = pytest.mark.root
LAST = 100_000
"""So many lines are 590 KB, nine times what a pipe holds; Jupyter lets 3 MB pass in three seconds."""
END = f"\n{LAST}\n"


@pytest.fixture(scope="module")
def own(person: Account) -> str:
    """A kernel that is executed, and says so before it is one."""
    say = 'echo by name >/dev/stderr; exec python -m ipykernel_launcher -f "$0"'
    person.add_kernel("own", ["sh", "-c", say, "{connection_file}"])
    return "own"


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("which", ["python3", "own"])
def test_all_that_a_program_prints_comes(notebook: Notebook, own: str, which: str, stream: int) -> None:
    """More than once: what is lost on its way to the log stops nothing of what goes to the page."""
    kernel = notebook.kernel(which)
    for _ in range(3):
        text = kernel.run_until(f"import os; _ = os.system('seq {LAST} >&{stream}')", END)
        assert text.splitlines() == [str(number) for number in range(1, LAST + 1)]
    assert kernel.run("print('and so do words')") == "and so do words\n"


@pytest.mark.parametrize("which", ["python3", "own"])
def test_a_fork_server_that_hangs_holds_no_program_up(notebook: Notebook, own: str, which: str) -> None:
    kernel = notebook.kernel(which)
    server = notebook.service.part("fork-server")
    os.kill(server, signal.SIGSTOP)
    try:
        kernel.run_until(f"import os; _ = os.system('seq {LAST} >&2')", END)
    finally:
        os.kill(server, signal.SIGCONT)


def test_a_kernel_whose_agent_was_killed_prints_on(notebook: Notebook) -> None:
    kernel = notebook.kernel()
    agent = int(kernel.run("import os; print(os.getppid())"))
    os.kill(agent, signal.SIGKILL)
    kernel.run_until(f"_ = os.system('seq {LAST}')", END)
    executed = notebook.kernel()
    executed.run_until(f"import os; _ = os.system('seq {LAST}')", END)


def test_what_was_printed_is_in_the_log(notebook: Notebook, own: str) -> None:
    """Also what opens the output by its name, as shells and R do; it is the user's."""
    notebook.kernel(own).run("import os; _ = os.system('echo by a program')")
    wait_until(lambda: {"by name", "by a program"} <= set(notebook.log().splitlines()), 10)
