"""`Part`: one program of the service as a value; how it is started, and how it is known again."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from hubwright.errors import MachineError

RETURN_CODES: Mapping[int, str] = {
    -signal.SIGKILL: "was killed (SIGKILL; out of memory, or by hand)",
    -signal.SIGTERM: "was ended (SIGTERM)",
    -signal.SIGSEGV: "crashed (SIGSEGV)",
    -signal.SIGABRT: "crashed (SIGABRT)",
}


@dataclass(frozen=True)
class Part:
    """A program that must run as long as the service does."""

    name: str
    """As people read it, and as its log is called: `hub`, `fork-server`."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """All of its environment."""
    log: Path
    """Its output; 0600."""
    account: str | None = None
    """The Unix account it runs as; None for the account that starts it."""
    groups: tuple[int, ...] = ()
    """Ids of groups besides the account's own; for root to give."""
    descriptors: tuple[int, ...] = ()
    """Inherited under the same numbers; every other descriptor is closed."""
    version: str = ""
    """What else it was started with (the content of its configuration): another version is another program."""
    ready: Callable[[], bool] = field(default=lambda: True, compare=False)
    """Whether it does its work now; quick, never raises."""
    works: Callable[[], bool] = field(default=lambda: True, compare=False)
    """As `ready`, but patient: asked now and then while it runs. A part that goes on saying no is started anew."""
    grace: float = 10
    """Seconds it gets between SIGTERM and SIGKILL."""
    umask: int = 0o077
    vital: bool = True
    """Whether the service is not up without it: a start waits for it, and fails when it does."""

    @property
    def fingerprint(self) -> str:
        """The same for two parts exactly when one running program serves for both."""
        told = [self.argv, sorted(self.env.items()), self.account, self.version, *self.groups]
        return sha256(json.dumps(told).encode()).hexdigest()[:16]

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own; `MachineError` when its program cannot be run."""
        log = open_log(self.log)
        try:
            return subprocess.Popen(
                self.argv,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                pass_fds=self.descriptors,
                umask=self.umask,
                **_identity(self.account, self.groups),
            )
        except OSError as error:
            raise MachineError(f"The {self.name} cannot be started ({self.argv[0]}): {error.strerror}.") from error
        finally:
            os.close(log)


def open_log(path: Path) -> int:
    """Open a log for appending, made 0600 when new; links are refused."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise MachineError(f"Cannot write the log {path}: {error.strerror}.") from error


def tell_exit(code: int | None) -> str:
    """Say in words how a program ended; None when that is not known."""
    if code is None:
        return "ended"
    if code < 0:
        return RETURN_CODES.get(code, f"was ended by signal {-code}")
    return f"left with code {code}"


def _identity(account: str | None, more: tuple[int, ...]) -> dict[str, Any]:
    """Popen's arguments to become `account` with exactly its groups and `more`; none when it is whoever we are."""
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    if entry.pw_uid == os.geteuid():
        return {}
    groups = [*os.getgrouplist(account, entry.pw_gid), *more]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}
