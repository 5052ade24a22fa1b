"""The websocket of a forked kernel: open as soon as the kernel's output is subscribed to, without asking it again."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from hubwright.engines.local.forked import ForkedKernel

PATIENCE = 0.4
"""Seconds the kernel has to say that its output is subscribed to; it takes milliseconds."""


class WelcomedConnection(ZMQChannelsWebsocketConnection):
    """Waits for the kernel's `iopub_welcome` where jupyter_server sends it two more requests, and again each 0.5 s.

    jupyter_server has had the kernel's answer to one request already when it calls `nudge`; what is left to know is
    that no output will be lost, which ipykernel 7 says itself (Jupyter Enhancement Proposal 65).
    Kernels that are busy, silent or not forked are treated as jupyter_server does, and so are subscriptions that
    were kept while the browser was away.
    """

    _subscribing = False

    def create_stream(self) -> None:
        """Connect to the kernel's channels."""
        super().create_stream()
        self._subscribing = True

    def nudge(self) -> asyncio.Future[None]:
        """Return a future that is done when the connection carries everything; same contract as the base class's."""
        kernel: Any = self.kernel_manager
        process = getattr(getattr(kernel, "provisioner", None), "process", None)
        answered = self._kernel_info_future.done() and bool(self._kernel_info_future.result())
        forked = self._subscribing and isinstance(process, ForkedKernel)
        if not forked or not answered or kernel.execution_state == "busy":
            nudged: asyncio.Future[None] = super().nudge()
            return nudged
        if kernel.execution_state == "starting":  # it has answered, even if nobody was there yet to hear its status
            kernel.execution_state = "idle"
        return asyncio.ensure_future(self._welcomed())

    async def _welcomed(self) -> None:
        iopub = self.channels["iopub"]
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hear(_message: list[bytes]) -> None:
            iopub.stop_on_recv()  # what follows waits for the reader that comes next
            if not heard.done():
                heard.set_result(None)

        iopub.on_recv(hear)
        try:
            await asyncio.wait_for(heard, PATIENCE)
        except TimeoutError:
            if not iopub.closed():
                await super().nudge()
