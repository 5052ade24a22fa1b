"""What packages leave when they are tried: programs that run, files, and memory that is shared by a number."""

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
from tests.environments import Lab, builders

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(300)]
_PR_SET_CHILD_SUBREAPER = 36
MARK = "hwt-left-running"
_ALONE = "os.setsid(), os.fork() and os._exit(0), os.closerange(0, 256)"
PROGRAM = f"import os; os.getuid() and os.fork() == 0 and ({_ALONE}, os.execv('/bin/sleep', ['{MARK}', '120']))"
"""A line that Python runs whenever it starts with such a package: it leaves a program that is nobody's child."""
THREAD = (
    "import ctypes, os, threading, time; os.getuid() and os.fork() == 0 and "
    f"({_ALONE}, threading.Thread(target=time.sleep, args=[120]).start(), ctypes.CDLL(None).pthread_exit(None))"
)
"""One whose first thread has ended, so that it looks as if it had."""
QUICK = (
    "import os, time; os.getuid() and os.fork() == 0 and "
    f"({_ALONE}, [os.fork() and os._exit(0) for _ in iter(lambda: time.sleep(0.0003), 1)])"
)
"""One that is another process every moment."""
FILES = (
    f"import os, ctypes; os.getuid() and not os.path.exists('/tmp/{MARK}') and "
    f"([os.makedirs('/tmp/{MARK}/' + 'd/' * 900), os.symlink('/etc', '/var/tmp/{MARK}'), open('/dev/shm/{MARK}', 'w').close()], "
    f"os.chdir('/tmp/{MARK}/' + 'd/' * 900), os.makedirs('d/' * 900), os.chdir('/'), "
    "ctypes.CDLL(None).shmget(0, 4096, 0o1600), ctypes.CDLL(None).msgget(0, 0o1600))"
)
"""What stays in places where everybody may make something, folders in folders among it."""


def running() -> list[str]:
    """Return the threads of the accounts of builds that have not ended; no other test builds meanwhile."""
    found = []
    for place in Path("/proc").glob("[0-9]*/task/*"):
        try:
            told = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
            if int(told["Uid"].split()[0]) in builders() and told["State"][0] not in "ZX":
                found.append(place.name)
        except OSError:
            continue
    return found


def lying_about() -> list[str]:
    """Return what builds have left in folders that are everybody's, and what they share by a number."""
    folders = map(Path, ("/tmp", "/var/tmp", "/dev/shm"))
    found = [str(one) for place in folders for one in place.iterdir() if one.lstat().st_uid in builders()]
    for kind in ("shm", "msg"):
        head, *rows = (line.split() for line in Path("/proc/sysvipc", kind).read_text().splitlines())
        found += [f"{kind} {row[1]}" for row in rows if int(row[head.index("uid")]) in builders()]
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
    (packages / "strange.pth").write_text(f"{line}\n")
    return prefix


@pytest.mark.parametrize("line", [PROGRAM, THREAD, QUICK], ids=["a program", "a thread", "a quick one"])
def test_nothing_that_a_package_starts_outlives_its_build(folder: Path, heir: None, line: str) -> None:
    """The next build gets the same account: what stayed could change the bytecode that it makes."""
    lab, prefix = Lab(folder), python_with(folder / "python", line)
    lab.write(f"  lab: {{kind: existing, prefix: {prefix}}}")
    assert lab.build().number == 1
    assert not running()


def test_nothing_that_a_package_puts_where_everybody_may_outlives_its_build(folder: Path) -> None:
    """A program of the next build could take it for its own."""
    seen = folder / "seen"
    seen.mkdir()
    seen.chmod(0o777)
    line = f"{FILES}; os.path.exists('/tmp/{MARK}') and open('{seen}/there', 'w').close()"
    lab, prefix = Lab(folder), python_with(folder / "python", line)
    lab.write(f"  lab: {{kind: existing, prefix: {prefix}}}")
    assert lab.build().number == 1
    assert (seen / "there").exists()
    assert not lying_about()
