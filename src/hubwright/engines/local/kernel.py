"""Become an IPython kernel in a forked process, as `python -m ipykernel_launcher -f FILE` would after its imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hubwright.engines.local import launch, preload


def run(connection_file: str, env: dict[str, str], folder: str, cpus: int) -> None:
    """Serve the kernel of `connection_file` until it is shut down; for a process with nothing but imports in it."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    launch.default_signals()
    launch.replace_environment(env)
    os.chdir(folder)
    Path("/proc/self/oom_score_adj").write_text(str(launch.KERNEL_OOM))
    preload.renew()
    preload.restore_blas(cpus)

    import ipykernel_launcher
    from ipykernel.kernelapp import IPKernelApp
    from setproctitle import setproctitle

    sys.argv = [str(ipykernel_launcher.__file__), "-f", connection_file]
    user, server = env.get("JUPYTERHUB_USER", ""), env.get("JUPYTERHUB_SERVER_NAME", "")
    setproctitle(f"kernel {user}/{server} {Path(connection_file).stem.removeprefix('kernel-')}")
    IPKernelApp.launch_instance()
