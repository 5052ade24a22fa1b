"""Whom sudo's configuration names. Standard library only: root's programs import it.

What they may run is not judged: a rule for one harmless program names them as well. `ALL`, which is everybody, and
`!name` do not count; nor do netgroups and sudoers kept in LDAP.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAIN = Path("/etc/sudoers")
FOLDER = Path("/etc/sudoers.d")
_DEPTH = 16
"""How deep files may include each other."""
_LARGEST = 2**20
"""Bytes that are read of one file."""
_INCLUDE = re.compile(r'[@#]include(dir)?\s+(?:"([^"]*)"|((?:\\.|\S)+))\s*(?:#.*)?')
_ALIAS = re.compile(r"(User|Runas|Host|Cmnd|Cmd)_Alias\s+(.*)", re.DOTALL)
_WORD = re.compile(r'(?:"[^"]*"|\\.|[^\s,\\"])+', re.DOTALL)
_LIST = re.compile(rf"\s*{_WORD.pattern}(?:\s*,\s*{_WORD.pattern})*", re.DOTALL)


@dataclass(frozen=True)
class Named:
    """Names in lower case, as sudo compares them."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


def read(main: Path | None = None, folder: Path | None = None) -> Named:
    """Return whom /etc/sudoers, what it includes, and the files of /etc/sudoers.d name; unreadable ones are skipped."""
    users: set[str] = set()
    groups: set[str] = set()
    seen: set[Path] = set()
    for path in (main or MAIN, *_files(folder or FOLDER)):
        for word in _words(path, seen, _DEPTH):
            _sort(word, users, groups)
    return Named(frozenset(users), frozenset(groups))


def _sort(word: str, users: set[str], groups: set[str]) -> None:
    """Put one member of a list of users where it belongs."""
    bare = word.lstrip("!")
    if (len(word) - len(bare)) % 2:
        return
    name = re.sub(r"\\(.)", r"\1", bare.replace('"', "")).lower()
    if name.startswith("%#"):
        groups.update(_group_name(name[2:]))
    elif name.startswith("%"):
        groups.add(name.removeprefix("%").removeprefix(":"))
    elif name.startswith("#"):
        users.update(_user_name(name[1:]))
    elif name and name[0] not in "+" and bare != "ALL":
        users.add(name)


def _words(path: Path, seen: set[Path], depth: int) -> Iterator[str]:
    """Yield the members of every list of users in a file and in what it includes."""
    if depth == 0 or path in seen:
        return
    seen.add(path)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            text = file.read(_LARGEST).decode(errors="replace")
    except OSError:
        return
    for line in re.sub(r"\\\n", " ", text).splitlines():
        line = line.strip()
        if include := _INCLUDE.fullmatch(line):
            target = Path(path.parent, include[2] or include[3].replace("\\ ", " ").replace("%h", os.uname().nodename))
            for other in _files(target) if include[1] else [target]:
                yield from _words(other, seen, depth - 1)
        elif not line.startswith("#") or line[1:2].isdigit():
            yield from _users_of(line)


def _users_of(line: str) -> Iterator[str]:
    """Yield the members of the lists of users in one line: an alias's, or those at the beginning of a rule."""
    if re.match(r"Defaults\b", line):
        return
    if alias := _ALIAS.fullmatch(line):
        if alias[1] == "User":
            for definition in re.split(r"(?<![\\%]):", alias[2]):
                yield from _WORD.findall(definition.partition("=")[2])
        return
    if listed := _LIST.match(line):
        yield from _WORD.findall(listed[0])


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder that sudo reads: names with a dot, or ending in a tilde, are left out."""
    try:
        return sorted(path for path in folder.iterdir() if "." not in path.name and not path.name.endswith("~"))
    except OSError:
        return []


def _group_name(number: str) -> list[str]:
    try:
        return [grp.getgrgid(int(number)).gr_name.lower()]
    except (KeyError, ValueError, OverflowError):
        return []


def _user_name(number: str) -> list[str]:
    try:
        return [pwd.getpwuid(int(number)).pw_name.lower()]
    except (KeyError, ValueError, OverflowError):
        return []
