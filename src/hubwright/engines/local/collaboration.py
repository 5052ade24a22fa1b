"""A group's own server: jupyter-collaboration, in a folder of its own that no other server looks into.

Beside Hubwright's other packages it would be loaded by every server and every page. Here it is neither found nor
imported by anybody else; a group's server adds the folder to its path once it has become the group's account.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hubwright.errors import MachineError, Refused
from hubwright.machine import locks
from hubwright.machine.files import weak_component, write_atomically
from hubwright.machine.policy import Team

REQUIREMENTS = (
    "jupyter-collaboration-ui>=3.0.4,<4",
    "jupyter-docprovider>=3.0.4,<4",
    "jupyter-server-fileid>=0.10,<1",
    "jupyter-server-ydoc>=3.0.4,<4",
    "jupyter-ydoc>=4.2.1,<5",
    "pycrdt>=0.14.13,<0.15",
    "pycrdt-store>=0.1.5,<0.2",
    "pycrdt-websocket>=0.16.5,<0.17",
    "sqlite-anyio>=0.2.3,<0.3",
)
"""What jupyter-collaboration 5 needs besides the packages that Hubwright itself needs."""
UMASK = 0o007
"""For what is made where the file system keeps no ACLs: the group may change it."""
_HISTORY = 7 * 86400
"""Seconds after the last word in a document for which it is kept who wrote what, step by step."""
_RECORD = "requirements.txt"
_TAKES = 600.0
"""Seconds that pip may take to fetch five megabytes."""
_REMEDY = 'Root can mend it: "hubwright apply".'
_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *(name for word in ("http_proxy", "https_proxy", "no_proxy") for name in (word, word.upper())),
    }
)


def place(prefix: Path) -> Path:
    """Return where it lies in an environment."""
    return prefix / "share" / "hubwright" / "collaboration"


def is_installed(prefix: Path) -> bool:
    """Whether what this Hubwright needs of it is there."""
    try:
        return (place(prefix) / _RECORD).read_text() == _listed()
    except OSError:
        return False


def install(prefix: Path) -> str:
    """Fetch it as wheels, by pip's own settings, and put it in place of an older one; return "".

    Nothing of it is run.

    Raises:
        MachineError: pip could not.
    """
    target = place(prefix)
    if weakness := weak_component(prefix):
        raise MachineError(f"{weakness}: root installs nothing there.", where=str(prefix))
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (target.parent / "collaboration.lock").open("w") as lock:  # other services of this environment
            if not locks.take(lock.fileno(), _TAKES):
                raise _not_installed("another apply installs it")
            if not is_installed(prefix):
                _install(prefix, target)
    except OSError as error:
        raise _not_installed(f"{error.strerror or error}") from error
    return ""


def _install(prefix: Path, target: Path) -> None:
    fresh, old = (target.with_name(f"{target.name}.{word}") for word in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    command = [str(prefix / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore", "--only-binary=:all:"]
    try:
        done = subprocess.run(
            [*command, "--target", str(fresh), *REQUIREMENTS],
            env={name: os.environ[name] for name in os.environ if name in _PASSED_ON or name.startswith("PIP_")},
            capture_output=True,
            text=True,
            timeout=_TAKES,
            umask=0o022,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise _not_installed(f"pip took more than {_TAKES:g} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise _not_installed(last.removeprefix("ERROR: ").rstrip("."))
    write_atomically(fresh / _RECORD, _listed(), 0o644)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def check_folder(team: Team, gid: int) -> None:
    """Refuse a start whose group, with that number, has no folder yet."""
    try:
        found = os.lstat(team.folder)
    except OSError as error:
        raise Refused(
            f"The folder {team.folder} of the group cannot be used: {error.strerror}.", remedy=_REMEDY
        ) from error
    if found.st_uid != 0 or found.st_gid != gid:
        raise Refused(f"The folder {team.folder} is not the one of the group {team.group}.", remedy=_REMEDY)


def check_installed(prefix: Path) -> None:
    """Refuse a start whose packages are missing."""
    if not is_installed(prefix):
        raise Refused("What people need to write together, jupyter-collaboration, is not installed.", remedy=_REMEDY)


def join(shared: str, prefix: Path) -> list[str]:
    """Make this process, the group's account by now, able to serve it; return what the server is told besides.

    Args:
        shared: the group's folder.
        prefix: the environment in which the packages are.
    """
    folder = place(prefix)
    sys.path.append(str(folder))
    _close_rooms()
    own = Path.home() / ".jupyter"
    own.mkdir(mode=0o700, exist_ok=True)
    return [
        "--ServerApp.jpserver_extensions=jupyter_server_fileid=True",
        "--ServerApp.jpserver_extensions=jupyter_server_ydoc=True",
        f"--ServerApp.root_dir={shared}",
        f"--LabApp.extra_labextensions_path={folder / 'share' / 'jupyter' / 'labextensions'}",
        f"--YDocExtension.session_store_path={own / 'collaboration_sessions.json'}",  # not in the folder of all
        f"--BaseFileIdManager.db_path={own / 'file_id_manager.db'}",
        f"--SQLiteYStore.squash_after_inactivity_of={_HISTORY}",
    ]


def _close_rooms() -> None:
    """Let nobody in whose websocket comes from another site, and make no room for who is not let in.

    jupyter_server_ydoc 3.0 takes pages of any site, and asks who it is only once the room is made, for anybody.
    """
    from jupyter_server.base.handlers import JupyterHandler
    from jupyter_server_ydoc.handlers import YDocWebSocketHandler  # type: ignore[import-not-found]
    from tornado.web import HTTPError

    make_room = YDocWebSocketHandler.prepare

    async def prepare(handler: Any) -> None:
        if await handler.identity_provider.get_user(handler) is None:
            raise HTTPError(403)
        await make_room(handler)

    YDocWebSocketHandler.prepare = prepare
    YDocWebSocketHandler.check_origin = JupyterHandler.check_origin


def _listed() -> str:
    return "".join(f"{one}\n" for one in REQUIREMENTS)


def _not_installed(why: str) -> MachineError:
    remedy = "It comes from the package index that pip is set to; a mirror or a folder is named in /etc/pip.conf."
    return MachineError(f"jupyter-collaboration is not installed: {why}.", remedy=remedy)
