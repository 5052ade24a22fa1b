"""Which rules this machine needs, what they would close, and setting them without cutting off whoever does."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal

from hubwright.care.openings import openings
from hubwright.config.load import Loaded
from hubwright.errors import MachineError, Refused
from hubwright.fields import Site
from hubwright.machine import firewall, ports, systemd
from hubwright.machine.files import Owner, make_folder, write_atomically
from hubwright.machine.firewall import Rule
from hubwright.machine.session import Session

Kind = Literal["nftables", "ufw"]
PROGRAMS: dict[Kind, str] = {"ufw": "ufw", "nftables": "nft"}
FILE = Path("/etc/hubwright/firewall.nft")
UNIT = "hubwright-firewall.service"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SSH = 22
_OWN = {("udp", 68), ("udp", 546)}
"""What the rules let in by themselves: addresses from the network."""


@dataclass(frozen=True)
class Wanted:
    """What whoever asks for rules wants besides the service."""

    also: tuple[int, ...] = ()
    """Ports that stay open, TCP and UDP."""
    ssh_from: tuple[str, ...] = ()
    """Networks that may come by SSH; everybody when there is none."""


def kind_here() -> Kind:
    """Return the kind of firewall that this machine has.

    Raises:
        MachineError: none of those that are known.
    """
    for kind, program in PROGRAMS.items():
        if shutil.which(program, path=_PATH):
            return kind
    raise MachineError("This machine has neither ufw nor nft.", remedy="Install one: apt install nftables.")


def rules(
    loaded: Loaded, site: Site, wanted: Wanted, listening: Sequence[ports.Listening], seen: Session | None
) -> list[Rule]:
    """Return what is let in: SSH first, then the service, then what is wanted besides.

    Only root's sshd counts, since anybody may give a program that name; port 22 counts when there is none.
    """
    ssh = {one.port for one in listening if one.roots and one.program == "sshd" and one.protocol == "tcp"} or {_SSH}
    if seen:
        ssh.add(seen.port)
    found = [Rule(port, "SSH", wanted.ssh_from) for port in sorted(ssh)]
    found += [Rule(one.port, one.what.partition(" (")[0], one.sources) for one in openings(loaded, site) if one.open]
    have = {rule.port for rule in found}
    for port in wanted.also:
        if port not in have:
            found += [Rule(port, "also wanted", (), protocol) for protocol in ("tcp", "udp")]
    return found


def closed(found: Iterable[Rule], listening: Iterable[ports.Listening]) -> list[ports.Listening]:
    """Return what other machines can reach now and could not with these rules."""
    kept = {(rule.protocol, rule.port) for rule in found} | _OWN
    return [one for one in listening if (one.protocol, one.port) not in kept]


def check_session(found: Iterable[Rule], seen: Session | None) -> None:
    """Refuse rules by which the session from which they are set could not be begun again.

    Raises:
        Refused: says which address would be shut out.
    """
    if seen is None:
        return
    client = ip_address(seen.client)
    here = [rule for rule in found if (rule.protocol, rule.port) == ("tcp", seen.port)]
    if any(not rule.sources or any(client in ip_network(one, strict=False) for one in rule.sources) for rule in here):
        return
    raise Refused(
        f"These rules would shut you out: you come from {seen.client} to port {seen.port}.",
        remedy="Name a network that holds your address with --ssh-from, or leave that out.",
    )


def text(kind: Kind, found: Sequence[Rule]) -> str:
    """Return the rules as an administrator would write them: a file for nft, or commands for a shell."""
    if kind == "nftables":
        return firewall.nftables(found)
    return "".join(f"{shlex.join(words)}\n" for words in (*firewall.ufw(found), *firewall.UFW_ON))


def apply(kind: Kind, found: Sequence[Rule]) -> list[str]:
    """Set the rules, now and at each boot; return what was done, in words.

    Raises:
        MachineError: the firewall does not take them; with nftables nothing has changed then.
    """
    return _apply_nftables(found) if kind == "nftables" else _apply_ufw(found)


def _apply_nftables(found: Sequence[Rule]) -> list[str]:
    rules_text = firewall.nftables(found)
    nft = shutil.which("nft", path=_PATH) or "nft"
    _run((nft, "--check", "-f", "-"), rules_text)
    make_folder(FILE.parent, 0o755, Owner.me())
    write_atomically(FILE, rules_text, 0o644)
    _run((nft, "-f", str(FILE)))
    done = [f"Set the table inet {firewall.TABLE}, from {FILE}."]
    done += [
        f"{other} filters as well: it must let these ports in, too."
        for other in _others(_run((nft, "list", "ruleset")))
    ]
    if systemd.runs():
        unit = systemd.unit_file(
            {
                "Unit": [
                    ("Description", "Hubwright: what may come to this machine"),
                    ("DefaultDependencies", "no"),
                    ("After", "local-fs.target nftables.service"),
                    ("Before", "network-pre.target"),
                    ("Wants", "network-pre.target"),
                    ("Conflicts", "shutdown.target"),
                ],
                "Service": [
                    ("Type", "oneshot"),
                    ("RemainAfterExit", "yes"),
                    ("ExecStart", systemd.command([nft, "-f", str(FILE)])),
                    ("ExecStop", systemd.command([nft, "delete", "table", "inet", firewall.TABLE])),
                ],
                "Install": [("WantedBy", "multi-user.target")],
            },
            note='Written by "hubwright firewall --apply".',
        )
        write_atomically(systemd.UNITS / UNIT, unit, 0o644)
        systemd.systemctl("daemon-reload")
        systemd.systemctl("enable", "--quiet", UNIT)
        systemd.systemctl("start", UNIT)
        done.append(f"They are set at each boot: {UNIT}.")
    return done


def _apply_ufw(found: Sequence[Rule]) -> list[str]:
    wanted = firewall.ufw(found)
    for words in wanted:
        _run(words)
    stale = firewall.ufw_stale(_run(("ufw", "show", "added")), wanted)
    for words in (*stale, *firewall.UFW_ON):
        _run(words)
    return [f"ufw lets {len(wanted)} in and is on, also after a boot.", *(f"Ran: {' '.join(words)}" for words in stale)]


def _others(ruleset: str) -> list[str]:
    """Return other tables that drop what comes in."""
    found, table = [], ""
    for line in ruleset.splitlines():
        if line.startswith("table "):
            table = line.removesuffix("{").strip()
        elif "hook input" in line and "policy drop" in line and table != f"table inet {firewall.TABLE}":
            found.append(table)
    return found


def _run(words: Sequence[str], told: str = "") -> str:
    environment = {"PATH": _PATH, "LANG": "C"}
    try:
        done = subprocess.run(words, input=told, capture_output=True, text=True, timeout=60, env=environment)
    except FileNotFoundError:
        raise MachineError(f"This machine has no {words[0]}.", remedy=f"Install it: apt install {words[0]}.") from None
    except subprocess.TimeoutExpired:
        raise MachineError(f"{words[0]} did not finish in 60 s.") from None
    if done.returncode:
        raise MachineError(f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
