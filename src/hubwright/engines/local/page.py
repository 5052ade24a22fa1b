"""JupyterLab's page for somebody who has no server yet: made once, by a server that nobody uses, with marks for a name.

The hub fills in the marks (`hub/ahead.py`) for a browser that makes a page ready before somebody opens it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tornado.httputil import HTTPServerRequest

from hubwright.engines.local import launch, marks, preload, server
from hubwright.engines.local.singleuser import SingleUser
from hubwright.fields import Site
from hubwright.machine.files import write_atomically

_PATIENCE = 60.0


def prepare(site: Site) -> None:
    """Begin to write `site.page`; once, in the fork server, which goes on meanwhile.

    Without that file nothing is made ready, and all is as it would be without us.
    """
    site.page.unlink(missing_ok=True)
    if os.fork() == 0:
        if os.fork() == 0:  # a grandchild: nobody has to wait for it
            _keep(site)
        os._exit(0)
    os.wait()


def _keep(site: Site) -> None:
    """Write what a child without rights makes."""
    home = Path(tempfile.mkdtemp(prefix="hubwright-page-"))
    try:
        ours, theirs = socket.socketpair()
        account = pwd.getpwnam(site.account)
        os.chown(home, account.pw_uid, account.pw_gid)
        if os.fork() == 0:
            ours.close()
            _make(site, account, home, theirs)
        theirs.close()
        ours.settimeout(_PATIENCE)
        if text := b"".join(iter(lambda: ours.recv(2**16), b"")).decode():
            write_atomically(site.page, text.replace(str(home), marks.HOME), 0o644, durable=False)
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os._exit(0)


def _make(site: Site, account: pwd.struct_passwd, home: Path, channel: socket.socket) -> None:
    """Become the hub's account, and a server as far as its page; send that."""
    try:
        if site.privileged:
            os.setgroups([])
            os.setresgid(*[account.pw_gid] * 3)
            os.setresuid(*[account.pw_uid] * 3)
        launch.default_signals(launch.HANDLED)
        os.chdir(home)
        launch.replace_environment(_environment(site, home))
        channel.sendall(_page(site))
    except Exception:  # nothing depends on it; the log has why
        traceback.print_exc()
    finally:
        os._exit(0)


def _environment(site: Site, home: Path) -> dict[str, str]:
    """What a server is told by the login and by the hub."""
    return {
        "HOME": str(home),
        "USER": marks.USER,
        "LANG": "C.UTF-8",
        "PATH": f"{site.prefix}/bin:/usr/bin:/bin",
        "JUPYTER_RUNTIME_DIR": str(home / "r"),
        "HUBWRIGHT_ENVIRONMENTS": str(site.environments),
        "JUPYTERHUB_USER": marks.USER,
        "JUPYTERHUB_SERVER_NAME": marks.SERVER,
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-page",
        "JUPYTERHUB_API_TOKEN": "none",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:0/hub/api",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_BASE_URL": site.base_url,
        "JUPYTERHUB_SERVICE_PREFIX": marks.PREFIX,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:0{marks.PREFIX}",
    }


def _page(site: Site) -> bytes:
    """Return the page as JupyterLab's own handler writes it."""
    preload.thaw_home()
    server.HandedServerApp.handed, _ = socket.socketpair()
    server.HandedServerApp.ready, _ = socket.socketpair()
    SingleUser.serverapp_class = server.HandedServerApp
    arguments = [*server.ARGUMENTS, *marks.arguments(site), "--Application.log_level=40"]
    app = SingleUser.initialize_server(arguments).web_app
    request = HTTPServerRequest("GET", f"{marks.PREFIX}lab/tree/{marks.PATH}", connection=_Nobody())
    delegate: Any = app.find_handler(request)
    handler = delegate.handler_class(app, request, **delegate.handler_kwargs)
    handler.current_user = SimpleNamespace(name=marks.USER)
    handler.get("lab", None, f"/tree/{marks.PATH}")
    return b"".join(handler._write_buffer)


class _Nobody:
    """The connection of a request that nobody made."""

    context = None

    def set_close_callback(self, _: Any) -> None:
        """Nobody goes away."""
