"""Daemons that a test starts: waiting for one until it answers, and ending it whatever it does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import wait_until
from tests.slowness import SLOWNESS


def await_answer(
    process: subprocess.Popen[bytes], answers: Callable[[], object], log: Path | None = None, seconds: float = 60
) -> None:
    """Wait until `answers()`; when the process ends before, or takes longer, end it and fail with its `log`."""

    def lives_and_answers() -> object:
        assert process.poll() is None, f"{process.args!r} has ended:\n{log.read_text() if log else ''}"
        return answers()

    try:
        wait_until(lives_and_answers, seconds)
    except BaseException:
        end(process)
        raise


def end(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """End the process, by force when it has not ended `seconds` after it was asked to."""
    process.terminate()
    try:
        process.wait(seconds * SLOWNESS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
