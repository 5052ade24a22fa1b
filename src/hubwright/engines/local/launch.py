"""A request to start a notebook server, and what the forked child does with it while it is still root.

Runs in the child only, never in the fork server itself: what it reads (a user's token) is gone with the child.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import resource
import signal
import socket
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hubwright.errors import Refused
from hubwright.fields import Site, server_key
from hubwright.machine import cgroups, keyring, mounts, policy, wire
from hubwright.machine.accounts import no_login
from hubwright.machine.files import write_atomically
from hubwright.machine.process import Process

_PR_SET_DUMPABLE = 4


@dataclass
class FileLimit:
    """The limit on open files: raised for a fork server that holds three for each server, put back in its children."""

    before: tuple[int, int] | None = None

    def raise_limit(self) -> None:
        """Allow as many as may be."""
        self.before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.before[1], self.before[1]))

    def restore(self) -> None:
        """Allow as many as before."""
        if self.before:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.before)


FILES = FileLimit()
RUNTIME = "r"
"""The user's folder within a server's; its name is short, since a kernel's socket has to fit into 107 bytes."""
RUNTIME_SIZE, RUNTIME_FILES = 16 * 2**20, 16384
"""Bytes and files it may hold. Connection files and sockets take some KB a kernel; the rest of /run is everybody's."""
HANDLED = (signal.SIGINT, signal.SIGTERM)
"""The signals that the fork server and the kernel agents handle otherwise than a fresh Python does."""
KERNEL_OOM = 500
"""How much sooner than its server a kernel is to be ended when memory is short (proc(5), oom_score_adj)."""


@dataclass(frozen=True)
class Launch:
    """What the hub asks for."""

    user: str
    server: str
    env: dict[str, str]
    args: tuple[str, ...]
    limits: cgroups.Limits
    total: cgroups.Limits = cgroups.NO_LIMITS
    """What all servers of the user may take together."""
    reserve: cgroups.Reserve = cgroups.NO_RESERVE
    gpus: tuple[str, ...] = ()

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Launch:
        """Return the launch of a message.

        Raises:
            Refused: a field is missing or of the wrong type.
        """
        try:
            user, server = message["user"], message.get("server", "")
            env, args = message.get("env", {}), message.get("args", [])
            limits, gpus = message.get("limits", {}), message.get("gpus", [])
        except KeyError as error:
            raise Refused(f"The request has no {error}.") from error
        whole = isinstance(user, str) and isinstance(server, str) and isinstance(env, dict) and isinstance(args, list)
        if not whole or not isinstance(limits, dict) or not isinstance(gpus, list):
            raise Refused("A field of the request has the wrong type.")
        if len(user) > 64 or len(server) > 255:
            raise Refused("A name of the request is too long.")
        texts = [user, server, *env, *env.values(), *args, *gpus]
        if any(not isinstance(text, str) or "\0" in text for text in texts) or any("=" in name for name in env):
            raise Refused("A text of the request is not a text.")
        try:
            numbers = policy.parse_limits(limits)
        except (TypeError, ValueError) as error:
            raise Refused(f"The request is none: {error}.") from error
        return cls(user, server, dict(env), tuple(args), *limits_in(numbers), gpus=tuple(gpus))

    @property
    def key(self) -> str:
        """Its name in paths."""
        return server_key(self.user, self.server)


def limits_in(found: Mapping[str, float | None]) -> tuple[cgroups.Limits, cgroups.Limits, cgroups.Reserve]:
    """Return a server's limits, its user's over all servers, and its reserve, from numbers by `policy.BOUNDS`."""

    def whole(name: str) -> int | None:
        value = found[name]
        return None if value is None else int(value)

    return (
        cgroups.Limits(whole("memory"), found["cpu"], whole("processes")),
        cgroups.Limits(whole("total_memory"), found["total_cpu"]),
        cgroups.Reserve(found["reserve_cpu"] or 0.0, whole("reserve_memory") or 0),
    )


def kernel_oom() -> int:
    """Return the `oom_score_adj` of what a server starts: more than its own."""
    return min(1000, int(Path("/proc/self/oom_score_adj").read_text()) + KERNEL_OOM)


def check_home(account: pwd.struct_passwd) -> None:
    """Refuse a home that is missing, not a folder, not the user's, or that everybody may write."""
    home = Path(account.pw_dir)
    remedy = f"An administrator can mend it: mkhomedir_helper {account.pw_name}, or chown {account.pw_name}: {home}."
    try:
        found = home.stat()
    except OSError as error:
        raise Refused(f"The home folder {home} cannot be used: {error.strerror}.", remedy=remedy) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.pw_uid:
        owner = "is not a folder" if not stat.S_ISDIR(found.st_mode) else f"belongs to user id {found.st_uid}"
        raise Refused(f"The home folder {home} {owner}, not to {account.pw_name}.", remedy=remedy)
    if found.st_mode & stat.S_IWOTH:
        remedy = f"Its owner can mend it: chmod o-w {home}."
        raise Refused(f"The home folder {home} can be written by everybody.", remedy=remedy)


def user_environment(site: Site, account: pwd.struct_passwd, launch: Launch, runtime: Path) -> dict[str, str]:
    """Return the whole environment of a user's server: what a login gives, the hub's variables, and no others."""
    return {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": shell_of(account),
        "LANG": "C.UTF-8",
        "PATH": f"{site.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "HUBWRIGHT_ENVIRONMENTS": str(site.environments),
        "HUBWRIGHT_OWN_KERNEL": str(site.own_kernel),
        "HUBWRIGHT_ZYGOTES": str(site.zygote_socket),
        **launch.env,
    }


def shell_of(account: pwd.struct_passwd) -> str:
    """Return what an account's terminals run; that of a group's server has no shell to log in with."""
    if Path(account.pw_shell).name == Path(no_login()).name:
        return "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    return account.pw_shell or "/bin/sh"


def log_path(site: Site, user: str, server: str) -> Path:
    """Where a server's output goes: `ada.log`, and `ada@second.log` for her server `second`."""
    name = f"{user}@{quote(server, safe='')}" if server else user  # no user's name has an @
    return site.logs / "users" / f"{name if len(name) <= 200 else f'{user}@{server_key(user, server)}'}.log"


def open_place(site: Site, account: pwd.struct_passwd, launch: Launch) -> tuple[socket.socket, Path]:
    """Make the server's folder below `site.servers`; return its listening socket and the user's runtime folder.

    The folder and the socket stay root's: only the hub's group may connect, the user cannot replace them.
    """
    place = site.servers / launch.key
    place.mkdir(mode=0o711, exist_ok=True)
    place.chmod(0o711)
    runtime = place / RUNTIME
    runtime.mkdir(mode=0o700, exist_ok=True)
    group = -1
    if site.privileged:
        group = pwd.getpwnam(site.account).pw_gid
        uid, gid = account.pw_uid, account.pw_gid
        if why := mounts.mount_memory(runtime, size=RUNTIME_SIZE, inodes=RUNTIME_FILES, uid=uid, gid=gid):
            sys.stderr.write(f"{launch.user}'s folder {runtime} has no size of its own ({why}).\n")  # in a container
            os.chown(runtime, uid, gid)
    return wire.listen(place / "http.sock", 0o660, group), runtime


def record(site: Site, launch: Launch, uid: int, group: str) -> None:
    """Write down what a restarted fork server must know to find this server again."""
    me = Process.me()
    text = json.dumps(
        {
            "user": launch.user,
            "server": launch.server,
            "uid": uid,
            "pid": me.pid,
            "started": me.started,
            "group": group,
            "reserve": asdict(launch.reserve),
            "gpus": launch.gpus,
        }
    )
    write_atomically(site.servers / launch.key / "server.json", text, 0o600, durable=False)


def become(
    account: pwd.struct_passwd,
    groups: list[int],
    env: dict[str, str],
    output: int,
    *,
    privileged: bool,
    umask: int = 0o022,
) -> None:
    """Turn this process into one of the user's: session, output, signals, identity, environment, folder.

    What it prints goes to the descriptor `output`, which is closed here. Afterwards it owns its own /proc entries
    again, as if a login had started it. Refused when the user may not enter the home.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
    default_signals(HANDLED)
    FILES.restore()
    os.umask(umask)
    if privileged:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        os.setgroups(groups)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        keyring.join_new()
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    replace_environment(env)
    try:
        os.chdir(account.pw_dir)
    except OSError as error:  # root could look at it all the same
        remedy = f"An administrator can mend it: chmod u+rwx {account.pw_dir}, and chmod a+x each folder above it."
        what = f"{account.pw_name} cannot enter the home folder {account.pw_dir}: {error.strerror}."
        raise Refused(what, remedy=remedy) from error


def default_signals(numbers: Iterable[int] = range(1, signal.NSIG)) -> None:
    """Give signals the handling that a fresh Python has, each one where `numbers` does not say which."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        if number in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            continue
        if number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def replace_environment(env: dict[str, str]) -> None:
    """Make `env` the whole environment."""
    if os.environ:
        os.environ.clear()
    os.environ.update(env)
