"""What packages leave running when they are tried."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.environments import Lab

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
_PR_SET_CHILD_SUBREAPER = 36
MARK = "hwt-left-running"
LEAVES = (
    "import os, sys; os.getuid() and os.fork() == 0 and "
    f"(os.setsid(), os.fork() and os._exit(0), os.closerange(0, 256), os.execv('/bin/sleep', ['{MARK}', '120']))\n"
)
"""A line that Python runs whenever it starts with such a package: it leaves a program that is nobody's child."""


def left() -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(MARK.encode()):
                found.append(place.name)
        except OSError:
            continue
    return found


@pytest.fixture(params=["the machine", "hubwright up"])
def heir(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whose children are those whose parents have ended; `up` takes them, and builds what was never built."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, request.param == "hubwright up", 0, 0, 0)
    yield
    prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def python_with(prefix: Path, line: str) -> Path:
    """Make a Python that runs a line whenever it starts, as one does with a package that wants so."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True, timeout=60)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "strange.pth").write_text(line)
    return prefix


def test_nothing_that_a_package_starts_outlives_its_build(folder: Path, heir: None) -> None:
    """All builds work under one account: what stayed could change the bytecode of the next environment."""
    lab, prefix = Lab(folder), python_with(folder / "python", LEAVES)
    lab.write(f"  lab: {{kind: existing, prefix: {prefix}}}")
    try:
        assert lab.build().number == 1
        assert not left()
    finally:
        for pid in left():
            os.kill(int(pid), 9)
