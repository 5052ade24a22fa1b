"""What must be true of the machine before the service starts, and the folders and secrets it starts with."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import hubwright
from hubwright.errors import MachineError, Refused, printable
from hubwright.fields import Site
from hubwright.machine.accounts import USERS_GROUP, ensure_group, ensure_system_account
from hubwright.machine.files import Owner, make_folder, weak_component, write_atomically
from hubwright.machine.place import OURS

SECRETS: Mapping[str, int] = {"cookie_secret": 32, "cli.token": 32}
"""Files of secrets and how many random bytes each holds, written as hexadecimal digits."""
_LEFT = {"archive", "lost+found"}
"""What else may be there: `uninstall` leaves archives of homes, and mkfs makes the other one."""
_INSTALL = "Install Hubwright with ./up from a checkout, or with pip into an environment such as /opt/hubwright/env."


def check_environment(site: Site) -> None:
    """Refuse to run as root what another account could change, or what users could not run."""
    if not site.privileged:
        return
    places = {
        "The environment": site.prefix,
        "Python": Path(os.path.realpath(sys.executable)),
        "Hubwright": Path(hubwright.__file__).parent,
    }
    for what, path in places.items():
        if weakness := weak_component(path):
            raise MachineError(
                f"{what} lies in {path}, and {weakness}. Root does not run it: everybody's notebooks come from there.",
                remedy=_INSTALL,
            )


def check_state(site: Site) -> None:
    """Refuse a state folder of root's that holds other things than ours: it would be taken over, and removed one day.

    Raises:
        Refused: it says which folder; nothing was changed.
    """
    if not site.privileged or not site.state.is_dir():
        return
    found = {path.name for path in site.state.iterdir()}
    if found & OURS or found <= _LEFT:
        return
    what = f"The folder {site.state} is not a service's: it holds {printable(min(found - _LEFT))}."
    raise Refused(what, remedy="Name one that is empty, or not there yet, with --state.")


def check_config(site: Site) -> str:
    """Return a warning when somebody else than root and whoever called sudo may change hub.yaml, or ""."""
    if not site.privileged or site.config is None:
        return ""
    found = site.config.stat()
    if found.st_mode & 0o022 or found.st_uid not in {0, int(os.environ.get("SUDO_UID", "0"))}:
        return f"{site.config} can be changed by others than root: whoever changes it decides whom this service admits."
    return ""


def lock(site: Site) -> int:
    """Take the lock that one `up` holds for each service; return its descriptor, which must stay open.

    `Refused` says which `up` runs already, and at which address.
    """
    descriptor = os.open(site.run / "up.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.read(descriptor, 4096)
        os.close(descriptor)
        raise Refused(_running(told), remedy="Stop that one first (Ctrl-C, or SIGTERM), or leave it running.") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps({"pid": os.getpid(), "url": site.public_url}).encode())
    return descriptor


def make_folders(site: Site) -> None:
    """Make the accounts and folders of the service, with owners and modes that keep everybody else out.

    As root the hub's account may add files to state and run folder but, by their sticky bit, rename nothing of root's.
    The servers' folder is the engine's: one that is there stays as it is, since commands come by while it is used.
    """
    if not site.privileged:
        _make_parents(site.state.parent, 0o755)
        make_folder(site.run.parent, 0o700)
        for folder in (site.state, site.run, site.secrets, site.logs, _user_logs(site)):
            make_folder(folder, 0o700)
        for folder in (site.static, site.routes, site.servers):
            make_folder(folder, 0o700)
        return
    check_state(site)
    ensure_system_account(site.account)
    ensure_group(USERS_GROUP)
    ours = Owner(0, Owner.of(site.account).gid)
    root = Owner(0, 0)
    _make_parents(site.state.parent, 0o755)
    make_folder(site.run.parent, 0o755, root)
    make_folder(site.state, 0o1770, ours)
    make_folder(site.run, 0o1771, ours)
    make_folder(site.secrets, 0o1770, ours)
    make_folder(site.logs, 0o700, root)
    make_folder(_user_logs(site), 0o700, root)
    make_folder(site.static, 0o755, root)
    make_folder(site.routes, 0o700, Owner.of(site.account))
    if not os.path.lexists(site.servers):
        make_servers_folder(site)


def make_servers_folder(site: Site) -> None:
    """Make the folder of servers as the fork server needs it: root's, and nobody else adds to it."""
    if site.privileged:
        make_folder(site.servers, 0o711, Owner(0, 0))


def make_secrets(site: Site) -> None:
    """Make each secret on first use: 0600, the hub account's."""
    owner = Owner.of(site.account) if site.privileged else None
    for name, size in SECRETS.items():
        path = site.secrets / name
        if not path.exists():
            write_atomically(path, secrets.token_hex(size), 0o600, owner)


def write_file(site: Site, name: str, content: object, *, for_hub_only: bool = False) -> str:
    """Write `content` as JSON into the run folder, root's; return the text. `for_hub_only` hides it from users."""
    text = json.dumps(content, indent=1, sort_keys=True, default=str)
    if for_hub_only:
        owner = Owner(0, Owner.of(site.account).gid) if site.privileged else None
        write_atomically(site.run / name, text, 0o640 if site.privileged else 0o600, owner, durable=False)
    else:
        write_atomically(site.run / name, text, 0o644, durable=False)
    return text


def log_folders(site: Site) -> tuple[Path, ...]:
    """Return the folders whose logs are kept bounded."""
    return site.logs, _user_logs(site)


def _user_logs(site: Site) -> Path:
    return site.logs / "users"


def _make_parents(folder: Path, mode: int) -> None:
    """Make what is missing on the way to `folder`; what is there stays as it is."""
    for parent in (*reversed(folder.parents), folder):
        if not parent.exists():
            make_folder(parent, mode)


def _running(told: bytes) -> str:
    try:
        words = json.loads(told)
        return f"This service runs already at {words['url']}, started by process {words['pid']}."
    except (ValueError, KeyError, TypeError):
        return "This service runs already, or is just being started."
