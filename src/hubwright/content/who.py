"""Who gets which content, and where homes are: by `content.json` of the run folder, root's. Standard library only.

    {"contents": {NAME: {"target": FOLDER, "all": bool, "groups": [...], "users": [...]}},
     "homes": {"users": {NAME: PATTERN}, "groups": [[NAME, PATTERN], ...], "default": PATTERN}}

A pattern holds `{username}`; "" is the account's own home.
"""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubwright.content.hand import Job, Order
from hubwright.content.store import Store
from hubwright.machine.policy import group_names

FILE = "content.json"
_USERNAME = "{username}"


@dataclass(frozen=True)
class Recipient:
    """Somebody with a home on this machine."""

    name: str
    uid: int
    gid: int
    groups: frozenset[str]
    home: str

    @classmethod
    def of(cls, entry: pwd.struct_passwd, told: Mapping[str, Any]) -> Recipient:
        """Return the owner of an account; `told` is what the file says."""
        groups = frozenset(group_names(entry))
        home = _pattern(told["homes"], entry.pw_name, groups).replace(_USERNAME, entry.pw_name) or entry.pw_dir
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, home)


def read(path: Path) -> dict[str, Any]:
    """Return what the file says; nothing when it is not there."""
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {"contents": {}, "homes": {}}
    return told


def contents_of(person: Recipient, told: Mapping[str, Any]) -> dict[str, str]:
    """Return name and target of every content that somebody gets."""
    return {name: one["target"] for name, one in told["contents"].items() if _gets(person, one)}


@contextmanager
def order(
    person: Recipient,
    contents: Mapping[str, str],
    state: Path,
    *,
    asked: Iterable[str] = (),
    dry: bool = False,
    due: bool = False,
    instead: Mapping[str, int] | None = None,
) -> Iterator[Order]:
    """Yield the order that hands out the newest versions; what was never taken is left out.

    `instead` has open folders of versions that are to be handed out in place of the newest.
    """
    with ExitStack() as stack:
        jobs = []
        for name, target in contents.items():
            tried = (instead or {}).get(name)
            newest = (0, tried) if tried is not None else stack.enter_context(Store(state, name).opened())
            if newest is not None:
                jobs.append(Job(name, target, *newest, tuple(asked)))
        yield Order((person.name, person.uid, person.gid), person.home, tuple(jobs), dry, due)


def _gets(person: Recipient, one: Mapping[str, Any]) -> bool:
    return bool(one["all"] or person.name in one["users"] or person.groups & {*one["groups"]})


def _pattern(homes: Mapping[str, Any], name: str, groups: frozenset[str]) -> str:
    """Return the pattern of somebody's home: his own, that of the first group that is his, or everybody's."""
    if not homes:
        return ""
    own = homes["users"].get(name) or next((pattern for group, pattern in homes["groups"] if group in groups), "")
    return str(own or homes["default"])
