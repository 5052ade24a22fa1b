"""What `idle.kernels_after` promises, whichever engine runs the server."""

from __future__ import annotations

from tests.conftest import wait_until
from tests.running import Notebook

IDLE = {"kernels_after": "4s", "check_every": "1s"}
SILENT = "import time\nend = time.time() + 14\nwhile time.time() < end: sum(range(10000))\ndone = 'yes'"


def check_idle_kernels_go(notebook: Notebook) -> None:
    """An idle kernel goes, though a page is connected to it; one that computes in silence stays until it has been idle."""
    idle, busy = notebook.kernel(), notebook.kernel()
    number = busy.send(SILENT)
    wait_until(lambda: idle.id not in kernels(notebook), 13)
    assert kernels(notebook) == {busy.id}
    for message in busy.messages(number):
        if message["msg_type"] == "execute_reply":
            break
    assert busy.run("print(done)").strip() == "yes"
    wait_until(lambda: not kernels(notebook))
    assert notebook.ask("GET", "api").status_code == 200, "the server stays"


def kernels(notebook: Notebook) -> set[str]:
    """Return the ids of the kernels that run."""
    return {kernel["id"] for kernel in notebook.ask("GET", "api/kernels").json()}
