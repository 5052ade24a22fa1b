"""Become an IPython kernel in a forked process, as `python -m ipykernel_launcher -f FILE` would after its imports."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from setproctitle import setproctitle

from hubwright.engines.local import launch, preload
from hubwright.engines.local.kernel_app import ForkedKernelApp

_ANEW = ("jupyterlab.labapp", "send2trash", "send2trash.exceptions", "send2trash.plat_other", "send2trash.util")
"""Imported for servers, computed from the home; a kernel imports them again when it wants them."""


def run(request: bytes, cpus: int) -> None:
    """Serve a kernel until it is shut down; for a process with nothing but imports in it.

    Args:
        request: its connection file, environment and folder, as the provisioner tells them.
        cpus: how many threads a BLAS library may have.
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
    preload.renew()
    for name in _ANEW:
        sys.modules.pop(name, None)
    preload.thaw_home()
    preload.restore_blas(cpus)

    import ipykernel_launcher

    sys.argv = [str(ipykernel_launcher.__file__), "-f", connection_file]
    user, server = env.get("JUPYTERHUB_USER", ""), env.get("JUPYTERHUB_SERVER_NAME", "")
    setproctitle(f"kernel {user}/{server} {Path(connection_file).stem.removeprefix('kernel-')}")
    ForkedKernelApp.launch_instance()
