"""The supervisor, with tiny programs for parts: start, second start, kills, adoption, stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.care.tiny_service import tiny_site

from hubwright.care.watch import read_ledger
from hubwright.machine.process import Process

SCRIPT = Path(__file__).with_name("tiny_service.py")


class Service:
    """The supervisor in a process of its own."""

    def __init__(self, folder, port, **identity):
        self.folder, self.port, self.ups, self.identity = folder, port, [], identity

    def up(self, *arguments, wait="opened", **env):
        out = self.folder / f"out-{len(self.ups)}"
        with out.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, SCRIPT, self.folder, str(self.port), *arguments],
                stdout=file,
                env={**os.environ, **env},
                **self.identity,
            )
        self.ups.append(process)
        eventually(lambda: wait in out.read_text() or process.poll() is not None)
        return process, out

    def part(self, name):
        found = read_ledger(self.folder / "run/x/parts.json").get(name)
        return found[0] if found else None

    @property
    def notebook(self):
        return Process.of(int(self.record.read_text()))

    @property
    def record(self):
        return tiny_site(self.folder, self.port).servers / "x" / "server.json"

    def ask(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            return int(client.recv(20))


def eventually(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


@pytest.fixture
def service(tmp_path, free_port):
    yield from kept(Service(tmp_path, free_port))


def kept(made):
    """Hand out a service, and end what is left of it."""
    yield made
    for process in made.ups:
        process.kill()
        process.wait()
    for process, _ in read_ledger(made.folder / "run/x/parts.json").values():
        process.stop(0)
    if made.record.exists() and made.notebook:
        made.notebook.stop(0)


def test_an_interrupt_stops_everything_that_was_started(service):
    process, out = service.up()
    started = [service.part(name) for name in ("hub", "caddy", "fork-server")]
    notebook = service.notebook
    assert all(part.alive() for part in [*started, notebook])
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert not any(part.alive() for part in [*started, notebook])
    assert "Stopping." in out.read_text()
    assert "ResourceWarning" not in out.read_text()


def test_keep_leaves_the_notebooks_and_the_next_start_adopts_them(service):
    process, _ = service.up("--keep")
    hub, fork_server, notebook = service.part("hub"), service.part("fork-server"), service.notebook
    process.terminate()
    assert process.wait(20) == 0
    assert not hub.alive()
    assert fork_server.alive()
    assert notebook.alive()
    process, out = service.up()
    assert "adopted: fork-server." in out.read_text()
    assert service.part("fork-server") == fork_server
    process.terminate()
    assert process.wait(20) == 0
    assert not notebook.alive()


def test_a_second_start_explains_and_changes_nothing(service):
    first, _ = service.up()
    hub = service.part("hub")
    second, out = service.up(wait="runs already")
    assert second.wait(20) == 77
    assert f"runs already at http://127.0.0.1:{service.port}/, started by process {first.pid}." in out.read_text()
    assert service.part("hub") == hub
    assert hub.alive()


def test_a_start_after_a_kill_adopts_all_parts_and_the_port(service):
    process, _ = service.up()
    before = {name: service.part(name) for name in ("hub", "caddy", "fork-server")}
    socket_file = service.folder / "run/x/api.sock"
    made = socket_file.lstat()
    process.kill()
    process.wait()
    assert service.ask() == before["caddy"].pid  # still served
    process, _ = service.up()
    assert {name: service.part(name) for name in before} == before
    assert (socket_file.lstat().st_ino, socket_file.lstat().st_ctime_ns) == (made.st_ino, made.st_ctime_ns)
    before["caddy"].signal(signal.SIGKILL)
    assert before["caddy"].wait(5)
    assert service.ask() != before["caddy"].pid  # waited in the backlog for the next one
    process.terminate()
    assert process.wait(20) == 0
    assert not any(part.alive() for part in before.values())


@pytest.fixture
def others_service(account, free_port):
    """A service that an ordinary user starts."""
    person = account()
    folder = person.home / "service"
    folder.mkdir()
    os.chown(folder, person.uid, person.gid)
    yield from kept(Service(folder, free_port, user=person.uid, group=person.gid, extra_groups=[], cwd="/"))


@pytest.mark.root
def test_a_port_that_may_not_be_taken_over_is_bound_anew(others_service):
    """As for ordinary users where Yama lets nobody look into a process of one's own (kernel.yama.ptrace_scope=1).

    Here Caddy itself forbids it, which needs no such kernel. All else is adopted.
    """
    service, closed = others_service, "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"
    process, _ = service.up(TINY_CADDY=closed)
    hub, caddy, fork_server = (service.part(name) for name in ("hub", "caddy", "fork-server"))
    process.kill()
    process.wait()
    _, out = service.up(TINY_CADDY=closed)
    assert "adopted: fork-server, hub." in out.read_text()
    assert (service.part("hub"), service.part("fork-server")) == (hub, fork_server)
    assert service.ask() == service.part("caddy").pid != caddy.pid
    assert service.notebook.alive()


def test_a_part_with_another_version_is_replaced_without_closing_the_port(service):
    process, _ = service.up()
    hub, caddy = service.part("hub"), service.part("caddy")
    process.kill()
    process.wait()
    service.up(TINY_VERSION="2")
    assert service.part("hub") == hub
    assert service.ask() == service.part("caddy").pid != caddy.pid
    assert not caddy.alive()


def test_a_caddy_that_died_with_its_supervisor_is_started_on_the_same_ports(service):
    process, _ = service.up()
    caddy = service.part("caddy")
    process.kill()
    process.wait()
    caddy.stop(0)
    service.up()
    assert service.ask() == service.part("caddy").pid


@pytest.mark.parametrize("name", ["hub", "caddy", "fork-server"])
def test_a_killed_part_comes_back_and_the_notebook_lives(service, name):
    service.up()
    old, notebook = service.part(name), service.notebook
    old.signal(signal.SIGKILL)
    assert old.wait(5)
    eventually(lambda: service.part(name) not in (None, old))
    service.ask()
    assert notebook.alive()


def test_notebooks_are_stopped_also_when_their_fork_server_has_just_died(service):
    process, _ = service.up()
    notebook = service.notebook
    service.part("fork-server").signal(signal.SIGKILL)
    process.terminate()
    assert process.wait(30) == 0
    assert not notebook.alive()


def test_notebooks_are_stopped_also_by_a_fork_server_that_is_too_busy_to_answer(service):
    process, out = service.up(TINY_BUSY="4")
    notebook = service.notebook
    process.terminate()
    assert process.wait(30) == 0
    assert not notebook.alive()
    assert "still run" not in out.read_text()


def test_orphans_are_waited_for(service):
    process, _ = service.up()
    notebook = service.notebook
    service.part("fork-server").signal(signal.SIGKILL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    eventually(lambda: str(notebook.pid) in children.read_text().split())
    notebook.signal(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{notebook.pid}").exists())


def test_a_part_that_fails_again_and_again_ends_the_start_with_its_words(service):
    process, out = service.up(TINY_HUB="raise SystemExit('the database is locked')", wait="never")
    assert process.wait(30) == 69
    assert "The hub fails again and again." in out.read_text()
    assert "  the database is locked" in out.read_text()
    assert service.part("caddy") is None


def test_a_taken_port_is_told_before_anything_starts(service):
    with socket.create_server(("127.0.0.1", service.port)):
        process, out = service.up(wait="taken")
        assert process.wait(20) == 71
    assert f"Port {service.port} is taken by pid {os.getpid()}" in out.read_text()
    assert not (service.folder / "run/x/parts.json").exists()
