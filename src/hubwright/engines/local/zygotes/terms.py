"""What zygotes, their keeper and those who ask for kernels agree on."""

from __future__ import annotations

from hubwright.machine import capabilities

CHANNEL = 3
"""The descriptor under which a zygote finds its keeper."""
POWERS = (capabilities.SETUID, capabilities.SETGID, capabilities.SYS_ADMIN, capabilities.SYS_CHROOT)
"""To become a user, and to see the machine as that user's server does: setns(2) wants the last two."""
FORK, RETIRE = b"fork", b"retire"
"""What a keeper tells a zygote: to fork, with four descriptors; to end when its last kernel has."""
READY, FAILED = b"ready", b"failed "
"""What a zygote tells its keeper: that all is imported, or why it cannot be."""
DESCRIPTORS = 4
"""The pair to the keeper, the connection of the server that asks, its network, its mounts."""
EXECUTE, GO = b"execute", b"go"
"""What a server is told when its kernel has to be executed, and what it says once it waits for a forked one."""
PACKET = 128 * 1024
"""Bytes a message may have; a kernel whose environment is larger is executed."""
