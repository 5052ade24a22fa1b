"""With `first_use`: who was let in by hub.yaml, is not named there any more, and still has a password or a link."""

from __future__ import annotations

import json

from hubwright.auth.allow import parts
from hubwright.auth.first_use.store import Store
from hubwright.auth.ways import key_of, of_kind, ways_of
from hubwright.config.load import Loaded
from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.hub.compile import admins
from hubwright.machine.files import write_atomically
from hubwright.people.applied import Applied

_FILE = "named.json"


def still_in(loaded: Loaded, site: Site) -> list[str]:
    """Return them, sorted; whom a roster let in it takes out itself."""
    path = site.state / _FILE
    if of_kind(loaded.hub.auth, "first_use") is None or not path.is_file() or not site.secrets.is_dir():
        return []
    before = set(json.loads(path.read_bytes()))
    return sorted((before - _named(loaded, site) - {*Applied(site.state).read()}) & Store(site.secrets).names())


def check(loaded: Loaded, site: Site) -> list[Problem]:
    """Warn of them, with what puts them out."""
    if not (names := still_in(loaded, site)):
        return []
    way = next(way for way, section in ways_of(loaded.hub.auth).items() if section.kind == "first_use")
    who = ", ".join(names)
    what = f"hub.yaml does not name {who} any more, who can still log in: a password was chosen, or a link made."
    remedy = f'"hubwright user remove {" ".join(names)}" keeps them out.'
    return [Problem(loaded.where(key_of(loaded.hub.auth, way, "allow")), what, remedy, "warning")]


def note(loaded: Loaded, site: Site) -> None:
    """Write down whom hub.yaml names now, and who is still in, for the next look; the state folder must exist."""
    if of_kind(loaded.hub.auth, "first_use") is not None:
        names = sorted({*_named(loaded, site), *still_in(loaded, site)})
        write_atomically(site.state / _FILE, json.dumps(names), 0o600)


def _named(loaded: Loaded, site: Site) -> set[str]:
    section = of_kind(loaded.hub.auth, "first_use")
    return {*admins(loaded.hub, site), *loaded.hub.people.users, *parts(section.allow)[1]}
