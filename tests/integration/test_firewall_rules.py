"""Rules set for real, in a network of the test's own: who may come and who may not."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.conftest import wait_until

from hubwright.machine import firewall
from hubwright.machine.firewall import Rule

pytestmark = pytest.mark.root
SERVE = """
import socket, sys, threading
def echo(peer):
    while got := peer.recv(100):
        peer.sendall(got)
for port in map(int, sys.argv[1:]):
    listener = socket.create_server(("0.0.0.0", port))
    def serve(listener=listener):
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=echo, args=(peer,)).start()
    threading.Thread(target=serve).start()
print("listens", flush=True)
"""


def run(*words: str, text: str = "") -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


@pytest.fixture
def net() -> Iterator[str]:
    """A network namespace at 10.213.7.2, which this side reaches from 10.213.7.1 and 10.213.7.9."""
    name = f"hwt{secrets.token_hex(3)}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "address", "add", "10.213.7.1/24", "dev", name)
        run("ip", "address", "add", "10.213.7.9/24", "dev", name)
        run("ip", "link", "set", name, "up")
        for words in (
            ("address", "add", "10.213.7.2/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            run("ip", "-n", name, *words)
        server = subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", SERVE, "22", "8000", "9000"], stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"listens\n"
            yield name
        finally:
            server.kill()
            server.wait(10)
            server.stdout.close()
    finally:
        subprocess.run(["ip", "link", "del", name], check=False)  # at once; with the namespace it goes some time later
        run("ip", "netns", "del", name)


def dial(port: int, source: str = "10.213.7.1") -> socket.socket:
    return socket.create_connection(("10.213.7.2", port), timeout=2, source_address=(source, 0))


def comes(port: int, source: str = "10.213.7.1") -> bool:
    try:
        dial(port, source).close()
    except TimeoutError:
        return False
    return True


@pytest.mark.skipif(not shutil.which("nft"), reason="needs nft: apt install nftables")
def test_nftables_lets_in_what_is_wanted_and_keeps_what_is_there(net: str) -> None:
    """A port for everybody, one for one address, one for nobody; a connection from before goes on; twice is as once."""
    wait_until(lambda: comes(9000))
    rules = firewall.nftables([Rule(22, "SSH"), Rule(8000, "the service", ("10.213.7.9/32",))])
    with dial(9000) as old:
        for _ in range(2):
            run("ip", "netns", "exec", net, "nft", "-f", "-", text=rules)
            assert comes(22)
            assert (comes(8000, "10.213.7.9"), comes(8000, "10.213.7.1")) == (True, False)
            assert not comes(9000)
            old.sendall(b"still here")
            assert old.recv(100) == b"still here"
    assert run("ip", "netns", "exec", net, "nft", "list", "tables").strip() == "table inet hubwright"
    run("ip", "netns", "exec", net, "nft", "delete", "table", "inet", "hubwright")
    wait_until(lambda: comes(9000))


@pytest.mark.skipif(not shutil.which("ufw"), reason="needs ufw: apt install ufw")
def test_ufw_takes_every_command(net: str) -> None:
    """By its own dry run: what it would set is what is wanted."""
    for words in firewall.ufw([Rule(22, "SSH"), Rule(8000, "the service", ("10.213.7.9/32", "fd00::/8"))]):
        said = run("ip", "netns", "exec", net, words[0], "--dry-run", *words[1:])
        assert "ERROR" not in said
        assert f"--dport {words[words.index('port') + 1]} " in said
