"""A user's notebook server in a forked process: JupyterHub's single-user extension on a socket it was handed."""

from __future__ import annotations

import logging
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_dir
from jupyter_server.serverapp import ServerApp
from jupyterlab.commands import get_app_dir
from traitlets import Bool, Unicode

from hubwright.engines.local import ipython_folder, preload, settings, sharing, terminals
from hubwright.engines.local.singleuser import SingleUser

ARGUMENTS = (
    "--ServerApp.jpserver_extensions=hubwright.engines.local.extension=True",
    # its own metrics would walk through all processes every second, and wait 50 ms for each of them
    "--ResourceUseDisplay.enable_prometheus_metrics=False",
    "--ResourceUseDisplay.track_cpu_percent=True",
    "--ResourceUseDisplay.show_host_usage=False",
    "--ConnectionFileMixin.transport=ipc",
    "--KernelProvisionerFactory.default_provisioner_name=hubwright-fork",
    "--ServerApp.kernel_spec_manager_class=hubwright.envs.kernels.KernelSpecs",
    "--ServerApp.kernel_websocket_connection_class=hubwright.engines.local.connection.WelcomedConnection",
    f"--LabApp.extra_labextensions_path={sharing.OWN}",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    f"--ServerApp.terminado_settings={{'shell_command': {terminals.COMMAND!r}}}",
    "--TerminalsExtensionApp.terminal_manager_class=hubwright.engines.local.terminals.Terminals",
)
"""What every server is told: kernels on Unix sockets, forked where they can be; terminals end before the server;

nobody outside is asked for news or for newer versions, which a user could not install."""
_UNREAD = "Exception while loading config file %s"
"""What traitlets logs; a test pins it."""


class _Catcher(logging.Handler):
    """Notes which files of settings traitlets could not read; it goes on without them, and only logs it."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        """Note it as a sentence."""
        if record.msg == _UNREAD and isinstance(record.args, tuple) and record.exc_info:
            self._found.append(
                f"{record.args[0]} was left out: {type(record.exc_info[1]).__name__}: {record.exc_info[1]}."
            )


class HandedServerApp(ServerApp):
    """A ServerApp that listens on a socket made by somebody else.

    jupyter_server 2.21 takes no descriptor, so this overrides how it finds its port and how it binds; both methods
    are private there, and a test pins them.
    """

    handed: socket.socket
    ready: socket.socket
    left_out: list[str]
    """Sentences about the user's own settings."""
    no_browser_open_file = Bool(True)  # a page for a browser on this machine: it would be written for nobody
    without_own_settings = Unicode(config=True, help="Why the user's own settings are not read; empty to read them.")

    @property
    def config_file_paths(self) -> list[str]:
        """Return where settings are read, for the extensions too."""
        paths: list[str] = super().config_file_paths
        own = {jupyter_config_dir(), self.config_dir} if self.without_own_settings else set()
        return [path for path in paths if path not in own]

    def load_config_file(self, suppress_errors: bool = True) -> None:
        """Read the settings; what of the user's own cannot be read is left out, and noted in `left_out`."""
        self.left_out = []
        if self.without_own_settings:
            what = f"The server did not start with your own settings in {jupyter_config_dir()}, and runs without them"
            self.left_out.append(f"{what}: {self.without_own_settings}.")
        catcher = _Catcher(self.left_out)
        log = logging.getLogger(self.log.name)
        log.addHandler(catcher)
        try:
            super().load_config_file(suppress_errors=suppress_errors)
        finally:
            log.removeHandler(catcher)

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Take the settings of a command line."""
        if argv is None or not settings.parse(self, argv):
            super().parse_command_line(argv)

    def _find_http_port(self) -> None:
        """There is a socket already."""

    def _bind_http_server(self) -> None:
        self.handed.setblocking(False)
        self.http_server.add_socket(self.handed)
        self.ready.sendall(b'{"ready":true}\n')
        self.ready.close()


def serve(handed: socket.socket, ready: socket.socket, args: list[str]) -> None:
    """Serve until stopped; for a process that is already the user's.

    Args:
        handed: the listening socket.
        ready: where to say `{"ready":true}` once requests are answered; closed afterwards.
        args: command-line settings, as `jupyterhub-singleuser` takes them.
    """
    preload.renew()
    preload.thaw_home()
    ipython_folder.find()
    HandedServerApp.handed = handed
    HandedServerApp.ready = ready
    SingleUser.serverapp_class = HandedServerApp
    SingleUser.launch_instance(argv=[*ARGUMENTS, *args])


def npm_prefix(account: str | None) -> str:
    """Return where npm keeps this machine's global packages, empty without npm; takes half a second.

    Args:
        account: who runs npm; None for whoever asks.
    """
    npm = shutil.which("npm", path="/usr/local/bin:/usr/bin:/bin")
    if not npm:
        return ""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"}
    who: dict[str, Any] = {}
    if account:
        who = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
    command = [npm, "prefix", "-g"]
    try:
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, env=env, **who)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def node_roots(prefix: str) -> list[str]:
    """Return settings that spare jupyter_lsp asking npm for `prefix`, as it does each time a server starts.

    They name the folders that its own default names. A user whose npm is set to another prefix keeps the default.
    """
    if not prefix or Path("~/.npmrc").expanduser().exists():
        return []
    roots = [Path.cwd(), Path(get_app_dir()) / "staging", Path(sys.prefix) / "lib", Path(sys.prefix)]
    roots += [Path(prefix) / "lib", Path(prefix)]
    return [f"--LanguageServerManager.node_roots={root}" for root in roots]
