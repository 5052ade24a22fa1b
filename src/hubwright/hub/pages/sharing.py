"""Who was let into whose server, for the home page; JupyterHub's shares, as its API makes and ends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyterhub import orm


@dataclass(frozen=True)
class Share:
    """Somebody who is let into a server."""

    owner: str
    server: str
    """Its name; empty for the default server."""
    title: str
    """What people call it."""
    to: str
    """Whom the owner lets in."""
    is_group: bool
    state: str
    """`running`, `pending` or `stopped`."""
    url: str


@dataclass(frozen=True)
class Shares:
    """What a person shares, what is shared with him, and the servers that he could share: name and title."""

    given: tuple[Share, ...]
    received: tuple[Share, ...]
    servers: tuple[tuple[str, str], ...]


def of(handler: Any) -> Shares | None:
    """Return what the home page tells its user; None where sharing is switched off."""
    if not handler.settings["template_vars"].get("sharing"):
        return None
    user = handler.current_user
    mine = user.orm_user
    return Shares(
        given=tuple(sorted((_told(handler, one) for one in mine.shares), key=lambda one: (one.server, one.to))),
        received=tuple(
            sorted((_told(handler, one) for one in mine.all_shared_with_me), key=lambda one: (one.owner, one.server))
        ),
        servers=tuple((one.name, _title(one)) for one in sorted(mine._orm_spawners, key=lambda one: one.name)),
    )


def end_all(db: Any, log: Any) -> None:
    """Take back every share and every invitation."""
    ended = db.query(orm.Share).delete() + db.query(orm.ShareCode).delete()
    db.commit()
    if ended:
        log.warning("Sharing is switched off: %d shares and invitations have ended", ended)


def _told(handler: Any, share: Any) -> Share:
    owner = handler.users[share.owner.name]
    spawner = owner.spawners[share.spawner.name]
    return Share(
        owner=owner.name,
        server=spawner.name,
        title=_title(share.spawner),
        to=share.group.name if share.group else share.user.name,
        is_group=share.group is not None,
        state="pending" if spawner.pending else "running" if spawner.ready else "stopped",
        url=owner.server_url(spawner.name),
    )


def _title(spawner: Any) -> str:
    return str(spawner.display_name or spawner.name or "Default server")
