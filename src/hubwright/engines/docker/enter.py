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
_OOM_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Where a container finds its own count of processes that were ended for memory; control groups 2 and 1."""


def main() -> None:
    """Become the command of the arguments."""
    command = sys.argv[1:] or ["/bin/sh"]
    if command[0] != COMMAND or "--version" in command:
        os.execvp(command[0], command)  # noqa: S606 (a shell is what it must not need)
    del sys.path[0]  # this file's folder
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
    singleuser.SingleUser.launch_instance(argv=[*server.ARGUMENTS, *arguments])


def _processors() -> int:
    """Return the processors this container may use, for libraries that start a thread for each."""
    return max(1, round(float(os.environ.get("CPU_LIMIT") or 0)) or len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    main()
