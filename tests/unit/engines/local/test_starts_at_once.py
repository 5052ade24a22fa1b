"""How many starts the fork server has under way."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.conftest import wait_until
from tests.daemons import await_answer, end

PROGRAM = """
import os, pwd, sys
from pathlib import Path
from hubwright.engines.local.forkserver import ForkServer
from hubwright.fields import Site
from hubwright.machine.cgroups import Hierarchy

folder, account = Path(sys.argv[1]), pwd.getpwuid(os.geteuid()).pw_name
site = Site(None, folder, folder, Path(sys.prefix), account, False, ("127.0.0.1", 1), "http://x/")
loop = ForkServer(site, Hierarchy(2, {}, ""), at_once=3)
Path(sys.argv[1], "ready").touch()
loop.serve()
"""


def test_of_callers_that_say_nothing_so_many_have_a_child_and_the_others_wait(tmp_path: Path) -> None:
    """Here three; the next have their turn when these have gone, or have said nothing for five seconds."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        forks = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stderr=file)

    def children() -> set[str]:
        found = set(Path(f"/proc/{forks.pid}/task/{forks.pid}/children").read_text().split())
        assert len(found) <= 3
        return found

    callers = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    try:
        await_answer(forks, (tmp_path / "ready").exists, log)
        for caller in callers:
            caller.connect(str(tmp_path / "start.sock"))
        wait_until(lambda: len(children()) == 3)
        first = children()
        for caller in callers[:3]:
            caller.close()
        wait_until(lambda: len(now := children()) == 3 and not now & first)
        for caller in callers[3:]:
            caller.close()
        wait_until(lambda: not children())
    finally:
        for caller in callers:
            caller.close()
        end(forks)
