"""The entrypoint of our image: a single-user server whose kernels are forked from a process that imports beside it.

Run as a file, by its path: importing the packages around it would cost a tenth of a second before the fork, and that
time is the user's. Any other command than `jupyterhub-singleuser` is executed as it is.
"""

from __future__ import annotations

import gc
import os
import socket
import sys

COMMAND = "jupyterhub-singleuser"
SHARED = "HUBWRIGHT_SHARED"
"""The variable that names a group's folder to a container that is the group's own server."""
TOGETHER = "together"
"""The file by which such a server tells the hub, before it listens, that it keeps out who is not in the group."""
_OOM_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Where a container finds its own count of processes that were ended for memory; control groups 2 and 1."""


def main() -> None:
    """Become the command of the arguments."""
    command = sys.argv[1:] or ["/bin/sh"]
    if command[0] != COMMAND or "--version" in command:
        os.execvp(command[0], command)  # noqa: S606 (a shell is what it must not need)
    del sys.path[0]  # this file's folder
    if SHARED in os.environ:
        os.umask(0o007)  # as collaboration.UMASK, whose import here would bring in pydantic before the fork
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _be_agent(theirs)
    theirs.close()
    _serve(ours, command[1:])


def _be_agent(channel: socket.socket) -> None:
    """Import what kernels need, and fork them, until the server is gone."""
    try:
        import signal

        from setproctitle import setproctitle

        from hubwright.engines.local import agent, preload

        setproctitle("kernel-agent")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        wanted = os.environ.get("HUBWRIGHT_PRELOAD", "").replace(",", " ").split()
        preload.KERNEL_ENVIRONMENT.update(preload.load([*preload.KERNEL, *wanted]))
        preload.settle()
        agent.Agent(channel, _processors()).serve()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _serve(channel: socket.socket, arguments: list[str]) -> None:
    for file in _OOM_FILES:
        if os.path.exists(file):  # noqa: PTH110 (pathlib would be imported for it)
            os.environ.setdefault("HUBWRIGHT_OOM_FILE", file)
    gc.disable()  # what imports make, stays
    from hubwright import grammars

    grammars.defer()
    from hubwright.engines.local import provisioner, server, singleuser

    gc.freeze()
    gc.enable()
    provisioner.connect(channel)
    sys.argv = [COMMAND, *arguments]
    more = _join(os.environ[SHARED]) if SHARED in os.environ else []
    singleuser.SingleUser.launch_instance(argv=[*server.ARGUMENTS, *arguments, *more])


def _join(folder: str) -> list[str]:
    """Make this process able to serve a group, and tell the hub; return what the server is told besides."""
    from pathlib import Path

    from hubwright.engines.docker.container import PLACE
    from hubwright.engines.local import collaboration

    prefix = Path(sys.prefix)
    if not collaboration.is_installed(prefix):
        sys.exit("This image holds no jupyter-collaboration, or another version of it. Build it anew.")
    more = collaboration.join(folder, prefix)
    Path(PLACE, TOGETHER).touch()
    return more


def _processors() -> int:
    """Return the processors this container may use, for libraries that start a thread for each."""
    return max(1, round(float(os.environ.get("CPU_LIMIT") or 0)) or len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    main()
