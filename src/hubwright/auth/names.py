"""The one rule from an outside identity to a Unix name; pure, so that everybody can be told his name in advance.

1. Of an address, what stands before the last `@`.
2. Small letters; accents are dropped (`é` is `e`), and a few letters become two (`ß` is `ss`, `æ` is `ae`).
3. Every other ASCII character than letters, digits, `.`, `_` and `-` becomes `-`; `+` too, it is not cut off.
4. `u` is put before what does not begin with a letter, `_` behind what ends with `.` or `-`.
5. Longer than 32: the first 23, `_`, and 8 digits of the SHA-256 of the whole identity.

What has other letters (Greek, Chinese, full-width forms), nothing at all, or the name of a system account gets no name.
Two identities may come to one name; `identities.Identities` lets only the first of them have it.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

from hubwright.errors import Refused
from hubwright.fields import check_user_name, shown
from hubwright.machine.policy import PRIVILEGED_GROUPS

LONGEST = 32
"""Characters of a Unix name, as useradd(8) takes it."""
_KEPT = 23
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ı": "i", "ŋ": "n"}
)
_OTHER = re.compile(r"[^a-z0-9._-]")
_WORDS = """
    abrt adm apache audio avahi backup bin bind caddy cdrom chrony chronyd clamav colord crontab daemon dbus
    debian-tor dhcpd dialout dip dnsmasq dovecot epmd exim fax floppy ftp games gdm geoclue git gitlab-runner
    gnats grafana halt haproxy hubwright hubwright-users input irc jenkins jupyter jupyterhub kvm landscape ldap
    lightdm list lp lxc mail man memcached messagebus mongodb mosquitto munge mysql named news nginx nm-openvpn
    nobody nogroup nslcd ntp openldap operator ovn pcp plugdev polkitd pollinate postfix postgres prometheus
    proxy pulse rabbitmq radvd redis render rpc rpcuser rtkit saned sasl setup shutdown slurm snmp squid src ssh
    sshd ssl-cert sssd statd stunnel4 sync sys syslog tape tcpdump tomcat toor tss tty ubuntu-insights unscd
    usbmux users utmp uucp uuidd vboxadd video voice whoopsie wireshark www www-data xrdp zabbix zookeeper
"""
_SYSTEM = PRIVILEGED_GROUPS | frozenset(_WORDS.split())
"""Accounts and groups of Debian, Red Hat and usual services: a person of that name could find the service's files."""


def unix_name(login: str) -> str:
    """Return the Unix name of somebody whom a provider calls `login`.

    Raises:
        Refused: it gives none, with the reason and what to do.
    """
    local = login.rpartition("@")[0] if "@" in login else login
    letters = unicodedata.normalize("NFD", local.lower().translate(_LETTERS))
    letters = "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")
    if not letters or not letters.isascii() or not letters.isprintable():
        why = ": it has letters that are not Latin" if letters and letters.isprintable() else ""
        raise Refused(
            f"{shown(login)} gives no Unix name{why}.",
            remedy='An admin can give one: see "hubwright names link --help".',
        )
    name = _OTHER.sub("-", letters)
    if not name[0].isalpha():
        name = f"u{name}"
    if len(name) > LONGEST:
        name = f"{name[:_KEPT]}_{sha256(login.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    if name[-1] in ".-":
        name = f"{name[: LONGEST - 1]}_"
    if is_reserved(name):
        raise Refused(
            f'{shown(login)} would be "{name}", which is the name of a system account or group.',
            remedy='An admin can give another: see "hubwright names link --help".',
        )
    return check_user_name(name)


def is_reserved(name: str) -> bool:
    """Whether nobody from outside may be called so."""
    return name in _SYSTEM or name.startswith("systemd-")


def plain(login: str, domain: str = "") -> str:
    """Return the short form under which lists may name somebody: without `@domain`, when it is that one.

    Anybody can have an address `alice@somewhere`: so a list's "alice" means only the alice of `domain`.
    """
    local, at, found = login.rpartition("@")
    return local if at and domain and found.lower() == domain.lower() else login
