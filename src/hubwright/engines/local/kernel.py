"""Become an IPython kernel in a forked process, as `python -m ipykernel_launcher -f FILE` would after its imports."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from setproctitle import setproctitle

from hubwright.engines.local import launch, own_space, preload
from hubwright.engines.local.kernel_app import ForkedKernelApp

_ANEW = ("jupyterlab.labapp", "send2trash", "send2trash.exceptions", "send2trash.plat_other", "send2trash.util")
"""Imported for servers, computed from the home; a kernel imports them again when it wants them."""


def run(request: bytes, cpus: int, channel: socket.socket) -> None:
    """Serve a kernel until it is shut down; for a process with nothing but imports in it.

    Args:
        request: its connection file, environment and folder, as the provisioner tells them, and the script that
            executes it, empty without a folder of the user's own.
        cpus: how many threads a BLAS library may have.
        channel: the agent's; where to say that this kernel must be executed, because of what is in that folder.
    """
    words = json.loads(request)
    connection_file, env, folder = words["file"], words["env"], words["folder"]
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    launch.default_signals(launch.HANDLED)
    launch.replace_environment({**preload.KERNEL_ENVIRONMENT, **env})
    os.chdir(folder)
    Path("/proc/self/oom_score_adj").write_text(str(launch.kernel_oom()))
    space = own_space.look(words["launch"], os.environ, folder) if words["launch"] else None
    if words["launch"] and (space is None or not space.suits(folder)):
        channel.send(b"execute %d 0" % os.getpid())
        return
    channel.close()
    preload.renew()
    for name in _ANEW:
        sys.modules.pop(name, None)
    if space:
        os.environ.update(space.environment)
        own_space.move_in(space, str(own_space.packages_in(sys.prefix)))
    else:
        preload.thaw_home()
    preload.restore_blas(cpus)

    import ipykernel_launcher

    sys.argv = [str(ipykernel_launcher.__file__), "-f", connection_file]
    user, server = env.get("JUPYTERHUB_USER", ""), env.get("JUPYTERHUB_SERVER_NAME", "")
    setproctitle(f"kernel {user}/{server} {Path(connection_file).stem.removeprefix('kernel-')}")
    ForkedKernelApp.launch_instance()
