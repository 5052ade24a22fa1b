"""A user's notebook server in a forked process: JupyterHub's single-user extension on a socket it was handed."""

from __future__ import annotations

import socket
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyterhub.singleuser.extension import JupyterHubSingleUser

from hubwright.engines.local import preload, provisioner

_SHELL = 'echo 500 >/proc/self/oom_score_adj 2>/dev/null; exec "${SHELL:-/bin/sh}" -l'
ARGUMENTS = (
    "--ServerApp.jpserver_extensions={'hubwright.engines.local.extension': True}",
    "--ConnectionFileMixin.transport=ipc",
    "--KernelProvisionerFactory.default_provisioner_name=hubwright-fork",
    f"--ServerApp.terminado_settings={{'shell_command': ['/bin/sh', '-c', {_SHELL!r}]}}",
)
"""What every server is told: kernels on Unix sockets, forked where they can be; terminals end before the server."""


class HandedServerApp(ServerApp):
    """A ServerApp that listens on a socket made by somebody else.

    jupyter_server 2.21 takes no descriptor, so this overrides how it finds its port and how it binds; both methods
    are private there, and a test pins them.
    """

    handed: socket.socket
    ready: socket.socket

    def _find_http_port(self) -> None:
        """There is a socket already."""

    def _bind_http_server(self) -> None:
        self.handed.setblocking(False)
        self.http_server.add_socket(self.handed)
        self.ready.sendall(b'{"ready":true}\n')
        self.ready.close()


def serve(handed: socket.socket, ready: socket.socket, agent: socket.socket | None, args: tuple[str, ...]) -> None:
    """Serve until stopped; for a process that is already the user's.

    Args:
        handed: the listening socket.
        ready: where to say `{"ready":true}` once requests are answered; closed afterwards.
        agent: the kernel agent's end, None to execute every kernel.
        args: command-line settings, as `jupyterhub-singleuser` takes them.
    """
    preload.renew()
    preload.thaw_home()
    HandedServerApp.handed = handed
    HandedServerApp.ready = ready
    if agent is not None:
        provisioner.connect(agent)
    app: Any = JupyterHubSingleUser
    app.serverapp_class = HandedServerApp
    app.launch_instance(argv=list(args))


def language_servers() -> tuple[str, ...]:
    """Return settings with the language servers of this machine, so that no user's server looks for them again.

    jupyter_lsp looks by running npm, half a second of processor time and 50 MB each time a server starts.
    """
    from jupyter_lsp.manager import LanguageServerManager

    found = LanguageServerManager()._autodetect_language_servers(only_installed=True)
    return ("--LanguageServerManager.autodetect=False", f"--LanguageServerManager.language_servers={dict(found)!r}")
