"""One-time links as people get them."""

from __future__ import annotations

from urllib.parse import urlencode

from hubwright.auth.first_use.store import Store
from hubwright.fields import Site
from hubwright.machine.files import Owner


def link(public_url: str, name: str, token: str) -> str:
    """Return the address where a person chooses a password."""
    return f"{public_url}hub/claim?{urlencode({'user': name, 'token': token})}"


def first_admin_link(site: Site, admin: str) -> str | None:
    """Return a new one-time link for the admin while he has no password, else None.

    Called by `up`, perhaps as root; the folder of secrets must exist, and what is written belongs to the hub's account.
    """
    owner = Owner.of(site.account) if site.privileged else None
    store = Store(site.secrets, owner)
    if store.state(admin) == "claimed":
        return None
    return link(site.public_url, admin, store.new_link(admin))
