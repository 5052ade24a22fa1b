"""A port that cannot be had is explained."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hubwright.errors import MachineError
from hubwright.machine.ports import holder, listen, listening


def test_a_free_port_is_bound_and_accepts():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert holder(port).startswith(f"pid {os.getpid()} (")
        assert not os.get_inheritable(listener.fileno())


def test_the_holder_of_a_taken_port_is_named():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(MachineError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value).startswith(f"Port {port} is taken by pid {os.getpid()} (")
    assert "hub.listen" in caught.value.problem.remedy


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(MachineError, match="not an address of this machine"):
        listen("192.0.2.1", 0)
    with pytest.raises(MachineError, match="not an address of this machine"):
        listen("no such host", 0)


@pytest.mark.root
def test_an_ordinary_user_is_told_about_low_ports(account):
    who = account()
    script = "from hubwright.machine.ports import listen; listen('127.0.0.1', 81)"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], user=who.uid, group=who.gid, env=environment, capture_output=True, text=True
    )
    if "Permission denied" in done.stderr and "hubwright" not in done.stderr:
        pytest.skip("the environment of these tests cannot be entered by ordinary users; ./test makes one that can")
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert "Only root may listen on port 81." in done.stderr or limit <= 81


CALLED = """
import os, socket, sys
listener = socket.create_server(("0.0.0.0", 0))
open("/proc/self/comm", "w").write("ss\\x1bhd")
os.setuid(int(sys.argv[1]))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("started", "goes_on", "roots"), [("root", "root", True), ("other", "other", False), ("root", "other", False)]
)
def test_only_roots_own_sockets_count_as_roots(account, started, goes_on, roots):
    """A name is its program's own choice, and no terminal obeys it."""
    uids = {"root": 0, "other": account().uid}
    command = ["/usr/bin/python3", "-I", "-c", CALLED, str(uids[goes_on])]
    with subprocess.Popen(
        command, user=uids[started], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        port = int(program.stdout.readline())
        found = [(one.program, one.roots) for one in listening() if one.port == port]
        program.stdin.close()
    assert found == [("ss?hd", roots)]


@pytest.mark.root
def test_a_program_of_roots_that_was_given_a_socket_does_not_make_it_roots(account):
    """Whoever starts a program with more rights, by a link with a name of his choice, gives it what he likes."""
    listener = socket.create_server(("0.0.0.0", 0))
    with listener:
        os.fchown(listener.fileno(), account().uid, -1)
        assert [one.roots for one in listening() if one.port == listener.getsockname()[1]] == [False]
