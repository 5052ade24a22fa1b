"""Which ports are open for whom, the rules that follow, and that nobody shuts himself out."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubwright.care import firewall as care
from hubwright.care.firewall import Wanted
from hubwright.care.openings import openings
from hubwright.config.load import load
from hubwright.errors import Refused
from hubwright.machine import firewall
from hubwright.machine.firewall import Rule
from hubwright.machine.place import place
from hubwright.machine.ports import Listening
from hubwright.machine.session import Session, parse
from hubwright.proxy.https import https_of

SSHD = Listening(2222, "tcp", "0.0.0.0", "sshd", roots=True)
BEHIND = "hub: {listen: ':8000', url: 'https://a.example.org/'}\nhttps: {kind: behind_proxy, trusted: [10.0.0.5, 'fd00::/8', 127.0.0.1]}\n"
ACME = "hub: {listen: ':443', url: 'https://a.example.org/'}\nhttps: {kind: acme, email: a@example.org}\n"


def read(yaml: str, folder: Path):
    file = folder / "hub.yaml"
    file.write_text(yaml)
    loaded = load(file)
    hub = loaded.hub.hub
    return loaded, place(hub.listen, hub.url, file, None, encrypts=https_of(loaded.hub.https).ENCRYPTS)


@pytest.mark.parametrize(
    ("yaml", "found"),
    [
        ("hub: {listen: '127.0.0.1:8000'}\n", [(8000, "this machine only")]),
        (ACME, [(443, "everybody"), (80, "everybody")]),
        (BEHIND, [(8000, "10.0.0.5/32, fd00::/8")]),
    ],
)
def test_ports_follow_from_hub_yaml(yaml: str, found: list[tuple[int, str]], tmp_path: Path) -> None:
    assert [(one.port, one.who) for one in openings(*read(yaml, tmp_path))] == found


def test_ssh_comes_first_by_the_ports_it_really_has(tmp_path: Path) -> None:
    listening = [SSHD, Listening(5432, "tcp", "0.0.0.0", "postgres"), Listening(68, "udp", "0.0.0.0", "dhclient")]
    rules = care.rules(*read(ACME, tmp_path), Wanted(), listening, Session("203.0.113.9", 22))
    assert [(rule.port, rule.sources) for rule in rules] == [(22, ()), (2222, ()), (443, ()), (80, ())]
    assert [one.program for one in care.closed(rules, listening)] == ["postgres"]
    also = care.rules(*read(ACME, tmp_path), Wanted(also=(5432,)), listening, None)
    assert care.closed(also, listening) == []


def test_a_program_that_calls_itself_sshd_gets_no_rule_and_takes_none_away(tmp_path: Path) -> None:
    """Anybody may choose that name; port 22 stays open when no sshd of root's is seen."""
    false = Listening(5000, "tcp", "0.0.0.0", "sshd")
    for also, ports in (((), {22}), ((SSHD,), {2222})):
        rules = care.rules(*read(ACME, tmp_path), Wanted(), [false, *also], None)
        assert {rule.port for rule in rules if rule.what == "SSH"} == ports
        assert false in care.closed(rules, [false, *also])


def test_nobody_shuts_himself_out(tmp_path: Path) -> None:
    """The session's own address and port, by IPv4 and IPv6; without a session nothing is in the way."""
    for client, refused in (("10.1.2.3", False), ("192.0.2.1", True), ("fd00::1", True)):
        seen = Session(client, 2222)
        rules = care.rules(*read(ACME, tmp_path), Wanted(ssh_from=("10.0.0.0/8",)), [SSHD], seen)
        if refused:
            with pytest.raises(Refused, match=f"you come from {client} to port 2222"):
                care.check_session(rules, seen)
        else:
            care.check_session(rules, seen)
        care.check_session(rules, None)


@pytest.mark.parametrize(
    ("text", "session"),
    [
        ("192.0.2.1 50000 198.51.100.7 22", Session("192.0.2.1", 22)),
        ("::ffff:192.0.2.1 50000 ::ffff:198.51.100.7 22", Session("192.0.2.1", 22)),
        ("fe80::1%eth0 50000 fe80::2%eth0 2222", Session("fe80::1", 2222)),
        ("", None),
        ("nonsense", None),
    ],
)
def test_a_session_is_read(text: str, session: Session | None) -> None:
    assert parse(text) == session


def test_rules_of_nftables_are_as_written_down() -> None:
    text = firewall.nftables([Rule(22, "SSH"), Rule(8000, "the service", ("10.0.0.5/32", "fd00::/8"))])
    assert [line.strip() for line in text.splitlines() if MARK in line] == [
        'tcp dport 22 accept comment "Hubwright: SSH"',
        'ip saddr { 10.0.0.5/32 } tcp dport 8000 accept comment "Hubwright: the service"',
        'ip6 saddr { fd00::/8 } tcp dport 8000 accept comment "Hubwright: the service"',
    ]


MARK = "Hubwright: "


def test_rules_of_ufw_that_are_no_longer_wanted_are_taken_away() -> None:
    """Only those that are ours; what an administrator added stays."""
    wanted = firewall.ufw([Rule(22, "SSH"), Rule(8000, "the service", ("10.0.0.5",))])
    added = """Added user rules (see 'ufw status' for running firewall):
ufw allow 22/tcp comment 'Hubwright: SSH'
ufw allow from 10.0.0.5 to any port 8000 proto tcp comment 'Hubwright: the service'
ufw allow 9000/tcp comment 'Hubwright: the service'
ufw allow 5432/tcp
ufw allow 25/tcp comment 'mail'
"""
    assert firewall.ufw_stale(added, wanted) == [("ufw", "delete", "allow", "9000/tcp")]
