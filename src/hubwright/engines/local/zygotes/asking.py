"""How a user's server asks for a forked kernel of a shared environment; whatever goes wrong, it executes one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import dataclass

from hubwright.engines.local.forked import ForkedKernel
from hubwright.engines.local.zygotes import terms
from hubwright.machine import wire
from hubwright.machine.process import Process

SOCKET = "HUBWRIGHT_ZYGOTES"
"""The variable that names the keeper's socket."""
ENVIRONMENT = "hubwright_environment"
"""In a kernelspec's metadata: the shared environment that it is of."""
_PATIENCE = 2.0
"""Seconds after which a kernel is executed instead."""


@dataclass(frozen=True)
class Wish:
    """What is to be forked."""

    environment: str
    file: str
    """The connection file."""
    variables: dict[str, str]
    folder: str
    output: int
    """The descriptor that it prints to."""


async def fork(wish: Wish) -> ForkedKernel | None:
    """Return a kernel, None when it is to be executed: at once, or after two seconds without an answer."""
    if not (path := os.environ.get(SOCKET)):
        return None
    words = {"file": wish.file, "env": wish.variables, "folder": wish.folder}
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        connection.connect(path)
        if wire.peer(connection) != 0:  # the keeper is away, and somebody stands in its place
            raise PermissionError
        connection.send(wish.environment.encode())
        socket.send_fds(connection, [json.dumps(words).encode()], [wish.output, wish.output])
        answer = await asyncio.wait_for(loop.sock_recv(connection, 16), _PATIENCE)
        if not answer.isdigit():
            raise ProcessLookupError
        pid = int(answer)
        kernel = ForkedKernel(Process.of(pid) or Process(pid, 0))
        connection.send(terms.GO)  # without it there would be two, when this comes too late
    except (OSError, TimeoutError):
        connection.close()
        return None
    loop.add_reader(connection, _heard, connection, kernel)
    return kernel


def _heard(connection: socket.socket, kernel: ForkedKernel) -> None:
    """Learn from the zygote how the kernel ended; nobody knows when it is gone itself."""
    try:
        packet = connection.recv(100)
    except OSError:
        packet = b""
    asyncio.get_running_loop().remove_reader(connection)
    connection.close()
    if packet:
        kernel.returncode = int(json.loads(packet)["ended"])
