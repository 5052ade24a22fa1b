"""Where a service keeps its things: decided from how it is started, the same way by every command."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from contextlib import suppress
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.fields import Site, instance_of
from hubwright.machine.files import weak_component

ACCOUNT = "hubwright"
"""The system account of hub and proxy when root starts the service."""
SYSTEM_CONFIG = Path("/etc/hubwright/hub.yaml")
"""The hub.yaml of an installed service, or a link to it."""
_SYSTEM_STATE = Path("/var/lib/hubwright/service")
OURS = frozenset({"hub.sqlite", "secrets"})
"""Either of them is in the state of every service that was ever started, or given a secret."""
_LONGEST_RUN = 33  # leaves 74 of a Unix socket's 107 bytes: s/<key>/r/kernel-<uuid>-ipc-pipe


def place(listen: str, url: str | None, config: Path | None, state: Path | None, *, encrypts: bool = False) -> Site:
    """Return the `Site` of a service that listens on `listen` ("host:port"); nothing is made on disk.

    `encrypts` says that it speaks HTTPS itself, which its address then begins with.

    Without `state` it is `.hubwright/` beside `config`, or here. As root a state folder that the hub's account could
    not enter, or that lies where others may write, is one below /var/lib/hubwright. That of /etc/hubwright/hub.yaml
    is there in any case: /etc is no place for what programs write. Where a service's state is once, there it stays.

    Raises:
        MachineError: others may write by now where the state of a service is.
    """
    privileged = os.geteuid() == 0
    if state is None and privileged and config is not None and config.absolute() == SYSTEM_CONFIG:
        state = _SYSTEM_STATE
    wanted = (state or (config.parent if config else Path.cwd()) / ".hubwright").absolute().resolve()
    home = _state_of_root(wanted) if privileged else wanted
    run = run_folder(home, privileged)
    address = split_listen(listen)
    return Site(
        config=config.absolute() if config else None,
        state=home,
        run=run,
        prefix=Path(sys.prefix),
        account=ACCOUNT if privileged else pwd.getpwuid(os.geteuid()).pw_name,
        privileged=privileged,
        listen=address,
        public_url=_public_url(url, address, encrypts),
    )


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port of "127.0.0.1:8000", "[::1]:8000" or ":8000" (every address)."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise MachineError(f'"{listen}" is not an address to listen on.', remedy='Write it as "127.0.0.1:8000".')
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104


def system_state(wanted: Path) -> Path:
    """Return the state folder below /var/lib that stands for `wanted`."""
    named = wanted.parent.name if wanted.name == ".hubwright" else wanted.name
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in named)[:40] or "service"
    return Path("/var/lib/hubwright") / f"{safe}-{instance_of(wanted)}"


def _state_of_root(wanted: Path) -> Path:
    """Return `wanted`, or what stands for it; a service that is in one of them stays there."""
    moved = system_state(wanted)
    weakness = _weakness(wanted)
    if not weakness:
        return moved if _has_service(moved) and not _has_service(wanted) else wanted
    if _has_service(wanted):
        raise MachineError(
            f"The service's state is in {wanted}, where root keeps it no longer: {weakness}.",
            remedy=f"Take that back (chmod go-w, chown root), or move the state: mkdir -p {moved.parent} && "
            f"mv {wanted} {moved}.",
        )
    return moved


def run_folder(state: Path, privileged: bool) -> Path:
    """Return the folder for sockets and routes of the service whose state is in `state`."""
    instance = instance_of(state)
    if privileged:
        return Path("/run/hubwright") / instance
    uid = os.geteuid()
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        if folder and _is_mine(Path(folder)) and len(run := f"{folder}/hubwright/{instance}") <= _LONGEST_RUN:
            return Path(run)
    return Path(f"/tmp/hubwright-{uid}") / instance  # noqa: S108 (made 0700 and its owner checked by `up`)


def _weakness(state: Path) -> str:
    """Return why root may not keep the state there; "" when the hub's account comes to it and nobody can replace it."""
    if weakness := weak_component(state.parent, sticky_is_fine=True):
        return weakness
    return f"{state} does not belong to root" if state.exists() and state.stat().st_uid != 0 else ""


def _has_service(state: Path) -> bool:
    """Whether the state of a service of root's is there; an ordinary user's does not count."""
    for name in OURS:
        with suppress(OSError, KeyError):
            uid = (state / name).lstat().st_uid
            if uid == 0 or pwd.getpwuid(uid).pw_name == ACCOUNT:
                return True
    return False


def _is_mine(folder: Path) -> bool:
    try:
        return folder.is_absolute() and folder.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _public_url(url: str | None, address: tuple[str, int], encrypts: bool) -> str:
    if url:
        return url if url.endswith("/") else url + "/"
    host, port = address
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        host = socket.gethostname()
    elif ":" in host:
        host = f"[{host}]"
    scheme, usual = ("https", 443) if encrypts else ("http", 80)
    return f"{scheme}://{host}/" if port == usual else f"{scheme}://{host}:{port}/"
