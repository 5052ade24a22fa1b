"""POSIX access control lists, as the kernel keeps them (linux/posix_acl_xattr.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
"""Extended attributes: what holds for a file, and what new ones in a folder get."""
_NOBODY = 0xFFFFFFFF
_OWNER, _NAMED_USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def pack(
    owner: int, group: int, other: int, groups: Iterable[int] = (), named: int = 0, users: Iterable[int] = ()
) -> bytes:
    """Return a list: what owner, group and others may (0 to 7), and what further groups and users may, by their ids."""
    gids, uids = sorted(set(groups)), sorted(set(users))
    entries = [(_OWNER, owner, _NOBODY), *((_NAMED_USER, named, uid) for uid in uids), (_GROUP, group, _NOBODY)]
    if gids or uids:
        entries += [*((_NAMED_GROUP, named, gid) for gid in gids), (_MASK, group | named, _NOBODY)]
    entries.append((_OTHER, other, _NOBODY))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
