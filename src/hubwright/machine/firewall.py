"""Rules that let in what is wanted and nothing else, for nftables and ufw; pure text.

Sources: nft(8), ufw(8). Connections that are there go on, and so does whatever this machine begins itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import pairwise

TABLE = "hubwright"
MARK = "Hubwright"
"""With it each rule of ours begins its comment, so that a later run knows them."""


@dataclass(frozen=True)
class Rule:
    """A port that others may come to."""

    port: int
    what: str
    sources: tuple[str, ...] = ()
    """Networks that may; everybody when there is none."""
    protocol: str = "tcp"


def nftables(rules: Iterable[Rule]) -> str:
    """Return a whole file for `nft -f`: it replaces our own table in one step, and no other."""
    lines = [line for rule in rules for line in _nft(rule)]
    return _NFT.format(table=TABLE, rules="\n".join(f"        {line}" for line in lines))


def _nft(rule: Rule) -> list[str]:
    said = f'{rule.protocol} dport {rule.port} accept comment "{MARK}: {rule.what}"'
    if not rule.sources:
        return [said]
    found = []
    for family, version in (("ip", 4), ("ip6", 6)):
        if sources := [one for one in rule.sources if ip_network(one, strict=False).version == version]:
            found.append(f"{family} saddr {{ {', '.join(sources)} }} {said}")
    return found


def ufw(rules: Iterable[Rule]) -> list[tuple[str, ...]]:
    """Return the commands that let `rules` in, each as its words; the firewall's own state comes after."""
    found: list[tuple[str, ...]] = []
    for rule in rules:
        for source in rule.sources or ("any",):
            words = ("ufw", "allow", "proto", rule.protocol, "from", source, "to", "any", "port", str(rule.port))
            found.append((*words, "comment", f"{MARK}: {rule.what}"))
    return found


UFW_ON = (("ufw", "default", "deny", "incoming"), ("ufw", "--force", "enable"))


def ufw_stale(added: str, wanted: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the commands that take away those rules of ours in `ufw show added` which are not wanted any more."""
    keep = {_place(words) for words in wanted}
    found = []
    for line in added.splitlines():
        words = tuple(shlex.split(line)) if line.startswith("ufw ") else ()
        if (
            "comment" in words
            and words[words.index("comment") + 1].startswith(f"{MARK}:")
            and _place(words) not in keep
        ):
            found.append(("ufw", "delete", *words[1 : words.index("comment")]))
    return found


def _place(words: tuple[str, ...]) -> tuple[str, str, str]:
    """Return port, protocol and source of an `allow`, in its long form or as `allow 8000/tcp`."""
    told = dict(pairwise(words))
    short = words[2] if len(words) > 2 else ""
    port, _, protocol = short.partition("/")
    return told.get("port", port), told.get("proto", protocol), told.get("from", "any")


_NFT = """\
# What may come to this machine. Written by "hubwright firewall"; nft -f FILE sets it, in one step.
# To take it away: nft delete table inet {table}
table inet {table}
delete table inet {table}
table inet {table} {{
    chain input {{
        type filter hook input priority filter; policy drop;

        ct state established,related accept
        ct state invalid drop
        # connections from before these rules, of which nobody kept account: without SYN none begins
        tcp flags & (fin | syn | rst | ack) == ack accept
        tcp flags & (fin | syn | rst | ack) == fin | ack accept
        iif lo accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        udp sport 67 udp dport 68 accept comment "an address by DHCP"
        udp dport 546 accept comment "an address by DHCPv6"

{rules}
    }}
}}
"""
