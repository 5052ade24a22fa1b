"""Whose is which Unix name: the first identity that comes has it, and no other ever gets it but on purpose.

A small file below `secrets`. A name stays its identity's also when the identity is renamed at the provider, or the
person is taken out: home and files still have that name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hubwright.auth import names
from hubwright.auth.kept import Kept
from hubwright.auth.rule import Person
from hubwright.errors import Refused
from hubwright.fields import check_user_name
from hubwright.machine.files import Owner


@dataclass(frozen=True)
class Known:
    """An identity, and what was last heard of it."""

    name: str
    """The Unix name."""
    provider: str
    subject: str
    login: str
    groups: tuple[str, ...]
    seen: float
    """Seconds since 1970 of the last login; 0 when it was linked and has not been here."""

    def __str__(self) -> str:
        return f"{self.provider}:{self.login}"


class Identities:
    """Who has which Unix name. Blocks (disk), so call it from a thread."""

    def __init__(self, folder: Path, owner: Owner | None = None, clock: Callable[[], float] = time.time) -> None:
        """Keep it in `folder`, which must exist, as a file of `owner` (default: whoever writes)."""
        self.path = folder / "names.json"
        self._kept = Kept(self.path, "names", ("names", "added"), owner)
        self._clock = clock

    def claim(
        self,
        person: Person,
        kept_for: frozenset[str] = frozenset(),
        only: str = "",
        others: Mapping[str, frozenset[str]] = MappingProxyType({}),
        taken: frozenset[str] = frozenset(),
    ) -> str:
        """Return the Unix name of a person, who has it from now on; what is known of him is brought up to date.

        Args:
            person: who has just been recognised.
            kept_for: names and addresses in lists. A name belongs to the person whom a list calls exactly so, and what
                comes of an address to that address: its account may be made, and be an admin's, before it comes.
            only: the one account that can be served here, or "" for all.
            others: by another way to log in, the names that its lists have: what comes of them is another's.
            taken: accounts of groups' own servers, which are nobody's.

        Raises:
            Refused: no name comes of it, or the name is another identity's; both are named.
        """
        with self._kept.change() as found:
            name = _name_for(person, found["names"], kept_for, only, others, taken)
            mine = next((one for one in found["names"].get(name, ()) if _is(one, person)), None)
            if mine is None:
                mine = {"provider": person.provider}
                found["names"][name] = [mine]
            mine.update(self._heard(person))
        return name

    def foretell(
        self,
        person: Person,
        kept_for: frozenset[str] = frozenset(),
        others: Mapping[str, frozenset[str]] = MappingProxyType({}),
        taken: frozenset[str] = frozenset(),
    ) -> str:
        """Return the name that `claim` would, or raise as it does; nobody has it from now on.

        Somebody without a subject, whose provider tells it at a login only, is known by his login.
        """
        found = self._kept.read()["names"]
        if not person.subject:
            same = (one for some in found.values() for one in some if _by_login(one, person))
            person = replace(person, subject=next((one["subject"] for one in same), ""))
        return _name_for(person, found, kept_for, "", others, taken)

    def follow(self, links: Mapping[str, Iterable[str]]) -> list[str]:
        """Bring the links of hub.yaml, `PROVIDER:LOGIN` by Unix name, into step; return what stands against any.

        A link that is not there any more is taken away; who came in by it is another person again. The name stays with
        the first of those who had it, since home and files still have it.
        """
        wanted = {identity: name for name, identities in links.items() for identity in identities}
        problems = []
        with self._kept.change() as found:
            for name, identities in list(found["names"].items()):
                left = [one for one in identities if not one.get("linked") or wanted.get(one["linked"]) == name]
                if not left and (first := next((one for one in identities if one["subject"]), None)):
                    left = [{key: value for key, value in first.items() if key != "linked"}]
                found["names"][name] = left
                if not left:
                    del found["names"][name]
            here = {f"{one['provider']}:{one['login']}": name for name, some in found["names"].items() for one in some}
            here |= {one["linked"]: name for name, some in found["names"].items() for one in some if one.get("linked")}
            for identity, name in wanted.items():
                if here.get(identity, name) != name:
                    problems.append(
                        f"auth.links: {identity} is {here[identity]} already, so it is not {name}. "
                        f'"hubwright names forget {here[identity]}" takes that away.'
                    )
                elif identity not in here:
                    provider, _, login = identity.partition(":")
                    linked = {"provider": provider, "subject": "", "login": login, "groups": [], "seen": 0}
                    found["names"].setdefault(name, []).append({**linked, "linked": identity})
        return problems

    def link(self, name: str, provider: str, login: str) -> None:
        """Give a name to an identity also, or first, which comes in by its `login`: on purpose the same person.

        Raises:
            Refused: no Unix name, or the identity has another name already.
        """
        try:
            check_user_name(name)
        except ValueError as error:
            raise Refused(f"This {error}") from None
        if names.is_reserved(name):
            raise Refused(f'"{name}" is the name of a system account or group.')
        with self._kept.change() as found:
            for other, identities in found["names"].items():
                if any((identity["provider"], identity["login"]) == (provider, login) for identity in identities):
                    if other == name:
                        return
                    raise Refused(
                        f'{provider}:{login} has the name "{other}" already.',
                        remedy=f'Take it away first: "hubwright names forget {other}".',
                    )
            linked = {"provider": provider, "subject": "", "login": login, "groups": [], "seen": 0}
            found["names"].setdefault(name, []).append(linked)

    def forget(self, name: str) -> list[Known]:
        """Let a name be free again for whoever comes first; return whose it was."""
        with self._kept.change() as found:
            return [_known(name, identity) for identity in found["names"].pop(name, [])]

    def name_of(self, person: Person) -> str:
        """Return the Unix name that somebody has, or ""."""
        for name, identities in self._kept.read()["names"].items():
            if any(_is(identity, person) for identity in identities):
                return str(name)
        return ""

    def of(self, name: str) -> list[Known]:
        """Return the identities of a name, the one that was here last first."""
        return sorted(self.all().get(name, []), key=lambda known: -known.seen)

    def all(self) -> dict[str, list[Known]]:
        """Return the identities of every name."""
        found = self._kept.read()["names"]
        return {name: [_known(name, identity) for identity in identities] for name, identities in found.items()}

    def update(self, known: Known, person: Person) -> None:
        """Bring up to date what is known of an identity, without a login."""
        with self._kept.change() as found:
            for identity in found["names"].get(known.name, []):
                if _is(identity, person):
                    identity.update(login=person.login, groups=sorted(person.groups))

    def added(self) -> frozenset[str]:
        """Return the names that an admin has added."""
        return frozenset(self._kept.read()["added"])

    def add(self, name: str) -> None:
        """Note that an admin has added a name."""
        with self._kept.change() as found:
            found["added"].setdefault(name, self._clock())

    def drop(self, name: str) -> None:
        """Note that an admin has taken a name out; it stays its identity's."""
        with self._kept.change() as found:
            found["added"].pop(name, None)

    def _heard(self, person: Person) -> dict[str, Any]:
        heard = {"subject": person.subject, "login": person.login, "groups": sorted(person.groups)}
        return {**heard, "seen": self._clock()}


def _name_for(
    person: Person,
    names_: dict[str, list[dict[str, Any]]],
    kept_for: frozenset[str],
    only: str,
    others: Mapping[str, frozenset[str]],
    taken: frozenset[str],
) -> str:
    """Return the name that somebody has, or may have; `Refused` as `Identities.claim`."""
    name = next((name for name, some in names_.items() if any(_is(one, person) for one in some)), "")
    if not name:
        name = names.unix_name(person.login)
        why = ""
        if _means_another(kept_for, name, person):
            why = f'{person} would be "{name}", but a list means another by that name.'
        elif owners := names_.get(name):
            why = f'{person} would be "{name}", which is {_known(name, owners[0])} already.'
        else:
            for way, listed in others.items():
                if other := next((login for login in sorted(listed) if _comes_to(login, name)), None):
                    why = f'{person} would be "{name}", which is kept for {way}:{other}.'
        if why:
            remedy = f'If it is the same person, link them: "hubwright names link {name} {person}".'
            raise Refused(why, remedy=remedy)
    if name in taken:  # also one that was his before hub.yaml gave it to a group
        raise Refused(
            f'{person} would be "{name}", which is the server of a group.',
            remedy='An admin can give another name: see "hubwright names link --help".',
        )
    if only and name != only:
        raise Refused(
            f"{person} is {name} here, and this hub was not started by root, so it can serve only {only}.",
            remedy="Start it as root to serve several people.",
        )
    return name


def _is(identity: dict[str, Any], person: Person) -> bool:
    """Whether it is the person: by the subject, or, where it was linked before it came, by the login."""
    if identity["provider"] != person.provider:
        return False
    return bool(
        identity["subject"] == person.subject or (not identity["subject"] and identity["login"] == person.login)
    )


def _by_login(identity: dict[str, Any], person: Person) -> bool:
    return (identity["provider"], identity["login"]) == (person.provider, person.login)


def _means_another(listed: frozenset[str], name: str, person: Person) -> bool:
    """Whether a list has the Unix name for somebody else: as it is, or by an address of which it comes."""
    if name in listed and name not in person.called:
        return True
    called = {login.lower() for login in person.called}
    return any("@" in entry and entry.lower() not in called and _comes_to(entry, name) for entry in listed)


def _comes_to(login: str, name: str) -> bool:
    try:
        return names.unix_name(login) == name
    except Refused:
        return False


def _known(name: str, identity: dict[str, Any]) -> Known:
    fields = {key: identity[key] for key in ("provider", "subject", "login", "seen")}
    return Known(name, groups=tuple(identity["groups"]), **fields)
