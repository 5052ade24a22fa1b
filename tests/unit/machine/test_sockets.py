"""The listening sockets of another process can be taken over without a moment in which they are closed."""

import os
import socket
import subprocess
import sys

import pytest

from hubwright.machine.ports import listen
from hubwright.machine.process import Process
from hubwright.machine.sockets import listeners_of

pytestmark = pytest.mark.root


def test_a_listener_outlives_the_process_that_had_it():
    with listen("127.0.0.1", 0) as bound:
        address = bound.getsockname()
        number = bound.fileno()
        holder = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[number])
    try:
        with socket.create_connection(address, timeout=5):
            taken = listeners_of(Process.of(holder.pid))
    finally:
        holder.kill()
        holder.wait()
    assert list(taken) == [address]
    with taken[address] as listener:
        assert not os.get_inheritable(listener.fileno())
        with socket.create_connection(address, timeout=5):
            listener.settimeout(5)
            listener.accept()[0].close()


def test_nothing_comes_from_a_process_that_has_ended():
    assert listeners_of(Process(os.getpid(), 1)) == {}
