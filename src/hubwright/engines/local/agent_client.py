"""The server's side of the kernel agent: asks it for forks, and hears which have ended and what all of them print."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from typing import Any

from hubwright.engines.local import agent, output
from hubwright.engines.local.forked import ForkedKernel
from hubwright.machine.process import Process

_LAST = 8192
"""Bytes of what kernels print that are kept to say why one has ended."""


class AgentClient:
    """The server's side of the pair; lives in the server's event loop.

    Args:
        channel: the server's end of the pair.
        outlet: both ends of what kernels print to (`output.make_outlet`); without it they have the server's output.
    """

    def __init__(self, channel: socket.socket, outlet: tuple[int, int] | None = None) -> None:
        self.channel = channel
        self.channel.setblocking(False)
        self.outlet = outlet
        self.numbers = itertools.count(1)
        self.waiting: dict[int, asyncio.Future[ForkedKernel]] = {}
        self.kernels: dict[int, ForkedKernel] = {}
        self.unfit: set[int] = set()
        """The pids of those that must be executed."""
        self.alive = True
        self.printed = b""
        """The last that kernels have printed."""
        self._listening = False

    def listen(self) -> int:
        """Hear what the agent tells, and what kernels print, from now on; return where a kernel is to print to."""
        if not self._listening:
            loop = asyncio.get_running_loop()
            loop.add_reader(self.channel, self._read)
            if self.outlet:
                loop.add_reader(self.outlet[0], self._pass_on, self.outlet[0])
            self._listening = True
        return self.outlet[1] if self.outlet else 1

    async def start(self, wish: dict[str, Any]) -> ForkedKernel | None:
        """Return a forked kernel, or None when the agent is gone or the request too large for it.

        It may find that it must be executed after all, and end; see `unfit`.

        Args:
            wish: the connection file, the environment, the folder, and the script that would execute the kernel.
        """
        loop = asyncio.get_running_loop()
        number = next(self.numbers)
        packet = b"%d " % number + json.dumps(wish).encode()
        if not self.alive or len(packet) > agent.PACKET:
            return None
        answer: asyncio.Future[ForkedKernel] = loop.create_future()
        self.waiting[number] = answer
        try:
            self.channel.send(packet)
            return await asyncio.wait_for(answer, 10)
        except (OSError, TimeoutError):
            return None
        finally:
            self.waiting.pop(number, None)

    def _pass_on(self, outlet: int) -> None:
        self.printed = (self.printed + output.pass_on(outlet))[-_LAST:]

    def is_unfit(self, kernel: ForkedKernel) -> bool:
        """Whether a forked kernel that has ended did so because it must be executed; it said so before."""
        if self.alive:
            self._read()
        unfit = kernel.pid in self.unfit
        self.unfit.discard(kernel.pid)
        return unfit

    def _read(self) -> None:
        """Hear all that was said until now."""
        while True:
            try:
                packet = self.channel.recv(agent.PACKET)
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet = b""
            if not packet:
                self.alive = False
                asyncio.get_running_loop().remove_reader(self.channel)
                for answer in self.waiting.values():
                    if not answer.done():
                        answer.set_exception(ConnectionResetError())
                return
            self._heard(packet)

    def _heard(self, packet: bytes) -> None:
        word, first, second = packet.decode().split()
        if word == "execute":
            self.unfit.add(int(first))
            return
        if word == "ended":
            if kernel := self.kernels.pop(int(first), None):
                kernel.returncode = int(second)
            return
        asked = self.waiting.get(int(first))
        if word == "failed":  # at the limit of processes: executing it will say so in words
            if asked and not asked.done():
                asked.set_exception(ProcessLookupError(os.strerror(int(second))))
            return
        pid = int(second)
        kernel = self.kernels[pid] = ForkedKernel(Process.of(pid) or Process(pid, 0))
        if asked and not asked.done():
            asked.set_result(kernel)
        else:
            kernel.kill()
