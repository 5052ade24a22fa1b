"""A kernel provisioner that asks the kernel agent for a fork, and executes as usual what cannot be forked."""

from __future__ import annotations

import asyncio
import os
import site
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner
from tornado.web import HTTPError

from hubwright.engines.local import broken, launch, own_space
from hubwright.engines.local.agent_client import AgentClient
from hubwright.engines.local.forked import ForkedKernel
from hubwright.engines.local.zygotes import asking

_BINDING = 20.0
"""Seconds a kernel has for listening, on a machine where many start at once."""
_CHANNELS = ("shell", "stdin", "control", "iopub", "hb")
_WATCHED = 10.0
"""Seconds that a kernel which is executed is waited for: one that ends meanwhile is told of by who asked for it."""
_EARLY = 10.0
"""Seconds in which a kernel that listens is still starting: the user's own files run."""
_STARTERS: tuple[list[str], ...] = ([], ["-Xfrozen_modules=off"])

_client: AgentClient | None = None
_tell: Callable[[str], None] | None = None
_begun: dict[str, bool] = {}
"""Kernels that have been started once, and whether it was told that one ended while it started."""


def connect(channel: socket.socket, outlet: tuple[int, int] | None = None) -> None:
    """Use an agent, and an outlet, for every kernel of this process from now on; see `AgentClient`."""
    global _client
    _client = AgentClient(channel, outlet)


def prepare() -> None:
    """Look which provisioners are installed, in every package's entry points; once, in the fork server."""
    KernelProvisionerFactory.instance()


def configure(server: Any, tell: Callable[[str], None]) -> None:
    """Give what was found before the fork the settings of a server, and of its user.

    Args:
        server: the application.
        tell: shows the user a sentence, when a kernel has ended while it started.
    """
    global _tell
    _tell = tell
    KernelProvisionerFactory.instance(parent=server).update_config(server.config)


class ForkProvisioner(LocalProvisioner):
    """Starts kernels of the server's own environment by a fork, all others as LocalProvisioner does."""

    _leaving = False
    _watching: asyncio.Task[None] | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start a kernel; same contract as LocalProvisioner.launch_kernel. HTTPError says why one is broken."""
        if reason := self.kernel_spec.metadata.get("hubwright_broken"):
            raise HTTPError(500, f"This kernel cannot start: {reason}.")
        if not self._starts():  # it is started again, and what it says first is often heard by nobody yet
            self.parent.execution_state = "starting"
        info = await self._launch(cmd, kwargs)
        folder = Path(kwargs.get("cwd") or Path.cwd())
        if self.process.poll() is not None and self.kernel_id not in _begun:
            info = await self._launch(cmd, kwargs)  # in a full home IPython ends once, and then misses nothing
            if self.process.poll() is not None:
                raise HTTPError(500, await self._why(folder))
        _begun.setdefault(self.kernel_id, False)
        self._leaving = False
        self._watching = asyncio.create_task(self._watch(self.process, folder))
        return info

    async def _launch(self, cmd: list[str], words: dict[str, Any]) -> KernelConnectionInfo:
        """Start it in one way or the other, and wait until it listens or has ended."""
        printed = _client.listen() if _client else 1
        if _client:
            _client.printed = b""
        if kernel := await self._fork(cmd, words, printed):
            self.process: Any = kernel
            self.pid = self.pgid = kernel.pid
            await _bound(kernel, self.connection_info, _BINDING)
            if kernel.poll() is None or not (_client and _client.is_unfit(kernel)):
                return self.connection_info
        info = await super().launch_kernel(cmd, **{"stdout": printed, "stderr": printed, **words})
        if self.pid:
            _expose_to_oom(self.pid)
        await _bound(self.process, info, _WATCHED)
        return info

    async def _watch(self, process: Any, folder: Path) -> None:
        """Tell the user of a kernel that ends while his own files run in it; once, as it is started again."""
        begin = time.monotonic()
        while process.poll() is None and self._starts() and time.monotonic() - begin < _EARLY:  # noqa: ASYNC110
            await asyncio.sleep(0.25)
        told = self._leaving or not self._starts() or _begun.get(self.kernel_id, True)
        if _tell and process.poll() is not None and not told:
            _begun[self.kernel_id] = True
            _tell(await self._why(folder))

    def _starts(self) -> bool:
        """Whether the kernel has not said anything yet: what ends it later is no matter of its start."""
        return getattr(self.parent, "execution_state", "starting") in ("starting", "restarting")

    async def _why(self, folder: Path) -> str:
        await asyncio.sleep(0.05)  # its last words come through the loop
        said = _client.printed.decode(errors="replace") if _client else ""
        return broken.words(self.kernel_spec, said, Path.home(), folder)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Take its end as wanted from now on."""
        self._leaving = True
        await super().shutdown_requested(restart=restart)

    async def kill(self, restart: bool = False) -> None:
        """End it; same contract as LocalProvisioner.kill. One that has ended by itself is killed, too."""
        self._leaving = self._leaving or (self.process is not None and self.process.poll() is None)
        await super().kill(restart=restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Forget it; same contract as LocalProvisioner.cleanup."""
        if not restart:
            _begun.pop(self.kernel_id, None)
            _remove_pipe(self.connection_info)
        await super().cleanup(restart=restart)

    async def _fork(self, cmd: list[str], words: dict[str, Any], printed: int) -> ForkedKernel | None:
        """Return a forked kernel, of this environment or a shared one; None when it is to be executed."""
        spec, folder = self.kernel_spec, Path(self.kernel_spec.resource_dir)
        env = {name: str(value) for name, value in words.get("env", os.environ).items()}
        cwd = words.get("cwd") or str(Path.cwd())
        if not is_own(folder) and (shared := spec.metadata.get(asking.ENVIRONMENT)):
            if spec.env or len(cmd) != 3 or cmd[:2] != [str(folder / own_space.SCRIPT), "-f"]:
                return None
            return await asking.fork(asking.Wish(str(shared), cmd[2], env, cwd, printed))
        if not _client or spec.env or not forkable(cmd, folder):
            return None
        script = cmd[0] if is_own(folder) else ""
        return await _client.start({"file": cmd[-1], "env": env, "folder": cwd, "launch": script})


def is_own(spec: Path) -> bool:
    """Whether a kernelspec is the one of Hubwright's own environment, with a folder of the user's own on top of it."""
    return str(spec) == os.environ.get(own_space.KERNEL)


def forkable(cmd: list[str], spec: Path) -> bool:
    """Whether a fork gives the same kernel as executing `cmd`, whose last word is the connection file.

    It does when the command is that of this environment's kernelspec, or this interpreter's plain ipykernel and the
    kernelspec root's, and nothing of the user's hides a module that was imported before the fork. At what he has
    installed for this environment the forked kernel looks itself.
    """
    if is_own(spec):
        known = cmd[:-1] == [str(spec / own_space.SCRIPT), "-f"]
    else:
        known = Path(cmd[0]) == Path(sys.executable) and cmd[-4:-1] == ["-m", "ipykernel_launcher", "-f"]
        known = known and cmd[1:-4] in _STARTERS and _trusted(spec)
    return known and not _hidden_modules()


async def _bound(kernel: Any, info: KernelConnectionInfo, patience: float) -> None:
    """Wait until the kernel listens, which takes a forked one some 50 ms; not for one that has ended.

    A socket that is connected earlier tries again after 100 ms. When the output's is later than the others, the
    first answer's status is lost, and jupyter_server asks again only after half a second.
    """
    if info.get("transport") != "ipc":
        return
    channels = [f"{info['ip']}-{info[f'{name}_port']}" for name in _CHANNELS]
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < patience and kernel.poll() is None:
        if all(os.path.exists(path) for path in channels):  # noqa: PTH110, ASYNC240 (on tmpfs, dozens of times)
            return
        await asyncio.sleep(min(max(0.002, waited / 10), 0.05))


def _remove_pipe(info: KernelConnectionInfo) -> None:
    """Remove the way in for a kernel's children, which one that is killed leaves."""
    if info.get("transport") == "ipc":
        Path(f"{info['ip']}-pipe").unlink(missing_ok=True)


def _trusted(folder: Path) -> bool:
    try:
        return folder.stat().st_uid in (0, Path(sys.prefix).stat().st_uid)
    except OSError:
        return False


def _hidden_modules() -> bool:
    """Whether a user's own folder on Python's path has a module that the fork already holds another copy of."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    for folder in filter(None, folders):
        try:
            names = {name.split(".")[0] for name in os.listdir(folder)}  # noqa: PTH208 (names are all that is wanted)
        except OSError:
            continue
        if any(name in sys.modules for name in names):
            return True
    return bool([name for name in os.environ if name.startswith("PYTHON") and name != "PYTHONPATH"])


def _expose_to_oom(pid: int) -> None:
    """Let a kernel be ended before its server when memory is short; it inherited the server's protection."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(launch.kernel_oom()))
    except (FileNotFoundError, ProcessLookupError):
        pass
