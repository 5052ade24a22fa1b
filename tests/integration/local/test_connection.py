"""The websocket of a forked kernel, which opens as soon as the kernel's output is subscribed to."""

from __future__ import annotations

import pytest
from tests.conftest import wait_until
from tests.running import Kernel, Notebook

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


def test_nothing_of_the_first_cell_is_lost(notebook: Notebook) -> None:
    """It is sent before the connection says anything."""
    for number in range(12):
        kernel = notebook.kernel()
        seen = [message["msg_type"] for message in kernel.until_idle(kernel.send(f"print({number}); {number}"))]
        assert {"execute_input", "stream", "execute_result"} <= set(seen), seen
        notebook.ask("DELETE", f"api/kernels/{kernel.id}")


def test_a_kernel_that_was_only_connected_to_is_idle(notebook: Notebook) -> None:
    kernel = notebook.kernel()
    wait_until(lambda: kernel.model()["execution_state"] == "idle")
    assert kernel.model()["connections"] == 1


def test_a_second_connection_hears_a_busy_kernel(notebook: Notebook) -> None:
    first = notebook.kernel()
    first.run("import time")
    sent = first.send("for number in range(200): print(number, flush=True); time.sleep(0.02)")
    assert next(m for m in first.messages(sent) if m["msg_type"] == "stream")
    second = Kernel(notebook, first.id)
    assert next(m for m in second.messages(sent) if m["msg_type"] == "stream")
    assert second.run("'after'") == "'after'"


def test_a_connection_that_is_lost_is_taken_up_again(notebook: Notebook) -> None:
    kernel = notebook.kernel()
    assert kernel.run("x = 1; x") == "1"
    kernel.ws.close()
    again = Kernel(notebook, kernel.id)
    assert again.run("x") == "1"
    assert notebook.ask("POST", f"api/kernels/{kernel.id}/restart").status_code == 200
    again.ws.close()
    assert Kernel(notebook, kernel.id).run("'x' in globals()") == "False"
