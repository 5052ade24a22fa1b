"""Device nodes that stand in for GPUs, since no test machine has any: each is a `/dev/zero` by another name."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

NODES = [f"/dev/hwt-{os.getpid()}-{number}" for number in range(2)]


@contextmanager
def made() -> Iterator[list[str]]:
    """Make them, for the members of `video`; they are removed again."""
    try:
        for node in NODES:
            os.mknod(node, stat.S_IFCHR | 0o660, os.makedev(1, 5))
            os.chmod(node, 0o660)
            os.chown(node, 0, grp.getgrnam("video").gr_gid)
        yield NODES
    finally:
        for node in NODES:
            if os.path.exists(node):
                os.unlink(node)
