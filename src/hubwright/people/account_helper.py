"""The account helper: checks a password through PAM, makes an account or ends its membership, for a hub without root.

One of two programs that run as root. Standard library and pamela only. It listens on `site.account_socket`, serves
only root and the hub's account (SO_PEERCRED), and decides by the root-owned policy, so that a hub that was taken over
cannot reach root, sudoers or system accounts. It forks before it reads a request: passwords live in a child's memory
only. Guessing is slow: `TRIES` failures a minute for one name, `TRIES_IN_ALL` for all names together; and so is
filling the machine: `MADE` new accounts a minute.

Started as `python -I -m hubwright.people.account_helper` with HUBWRIGHT_SITE naming the site's JSON file. The policy
names the PAM service.

Besides it counts, for the metrics, the disk that a home takes, and hands contents out to it: in a child that becomes
the home's owner first.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pamela

from hubwright.content import serving as content
from hubwright.errors import HubwrightError, Refused
from hubwright.machine import disk, wire
from hubwright.machine.attempts import Attempts
from hubwright.machine.policy import Policy, group_names
from hubwright.people import accounts, standing

TRIES = 5
TRIES_IN_ALL = 300
MADE = 60
WINDOW = 60.0
CHILDREN = 32
"""Requests at work at once; more wait in the socket's backlog."""
DEADLINE = 30.0
"""Seconds a request may take before its child is killed; useradd on a busy machine is the slowest."""
DISK_TAKES = 600.0
"""Seconds that counting one home, or handing contents out to it, may take."""
HOMES = 8
"""Homes that get contents at once; logins need children, too."""
ARRIVAL = 5.0
"""Seconds a request may take to arrive."""
FAILURE_TAKES = 2.0
"""Seconds that every failed check takes at least, so that the time does not tell which names exist."""
LONGEST_PASSWORD = 512
_DISALLOW_NULL_AUTHTOK, _FAIL_DELAY, _USER = 1, 10, 2
_NEW_AUTHTOK_REQD = 12
_WRONG = "Wrong user name or password, or this account may not use the hub."


@dataclass(frozen=True)
class Settings:
    """What the helper needs of the site."""

    socket: Path
    policy: Path
    account: str
    run: Path
    state: Path

    @classmethod
    def load(cls, site_file: Path) -> Settings:
        """Read them from the site's JSON file, without the model that needs pydantic."""
        site = json.loads(site_file.read_bytes())
        run = Path(site["run"])
        return cls(run / "account.sock", run / "policy.json", str(site["account"]), run, Path(site["state"]))


@dataclass
class _Child:
    pid: int
    line: socket.socket
    """Where the child asks whether a name may be tried, or an account made, and tells how it went."""
    ends: float
    trying: list[str] = field(default_factory=list)
    counting: str = ""
    """Whose home's disk it counts, which takes longer than anything else."""
    handing: str = ""
    """To whose home it hands contents out."""


class Helper:
    """The parent: accepts, forks, counts failures, ends children that are late; it never reads a request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        account = pwd.getpwnam(settings.account)
        self._callers = {0, account.pw_uid}
        self._listener = wire.listen(settings.socket, 0o660, account.pw_gid)
        self._listener.setblocking(False)
        self._lock = os.memfd_create("accounts")  # one useradd at a time
        self._children: dict[int, _Child] = {}
        self._left: dict[int, str] = {}
        """Children that are not reaped yet, by process id, and with whose home they were late. One that waits for
        a dead file system survives SIGKILL; nobody waits for it, and nothing else is done with that home meanwhile."""
        self._names = Attempts(TRIES, WINDOW)
        self._all = Attempts(TRIES_IN_ALL, WINDOW)
        self._made = Attempts(MADE, WINDOW)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the process is told to end."""
        while True:
            self._listen(len(self._children) < CHILDREN)
            for key, _ in self._selector.select(timeout=1.0):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._hear(self._children[key.fd])
            now = time.monotonic()
            for child in [late for late in self._children.values() if late.ends < now]:
                os.kill(child.pid, signal.SIGKILL)
                self._bury(child, late=True)
            self._reap()

    def _listen(self, wanted: bool) -> None:
        listening = self._listener in {key.fileobj for key in self._selector.get_map().values()}
        if wanted and not listening:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif listening and not wanted:
            self._selector.unregister(self._listener)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            if wire.peer(connection) not in self._callers:
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._be_child(connection, theirs)
            theirs.close()
            ours.setblocking(False)
            self._children[ours.fileno()] = _Child(pid, ours, time.monotonic() + DEADLINE)
            self._selector.register(ours, selectors.EVENT_READ)

    def _hear(self, child: _Child) -> None:
        try:
            word = child.line.recv(256)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if not word:
            self._bury(child)
            return
        name = word[1:].decode()
        if word[:1] == b"?":
            # Counted before the answer is known, so that many at once cannot try more often than one after another.
            wait = max(self._names.wait(name), self._all.wait(""))
            if not wait:
                self._names.add(name)
                self._all.add("")
                child.trying.append(name)
            with contextlib.suppress(OSError):
                child.line.send(str(wait).encode())
        elif word[:1] == b"*":
            if not (wait := self._made.wait("")):
                self._made.add("")
            with contextlib.suppress(OSError):
                child.line.send(str(wait).encode())
        elif word[:1] == b"#":
            self._reap()
            free = not any(other.counting for other in self._children.values()) and name not in self._left.values()
            if free:
                child.counting, child.ends = name, time.monotonic() + DISK_TAKES + DEADLINE
            with contextlib.suppress(OSError):
                child.line.send(b"0" if free else b"1")
        elif word[:1] == b"=":
            self._reap()
            homes = [other.handing for other in self._children.values() if other.handing]
            if free := len(homes) < HOMES and name not in (*homes, *self._left.values()):
                child.handing, child.ends = name, time.monotonic() + DISK_TAKES + DEADLINE
            with contextlib.suppress(OSError):
                child.line.send(b"0" if free else b"1")
        elif word[:1] == b"+" and name in child.trying:
            child.trying.remove(name)
            self._names.clear(name)
            self._all.forgive("")

    def _bury(self, child: _Child, *, late: bool = False) -> None:
        self._selector.unregister(child.line)
        del self._children[child.line.fileno()]
        child.line.close()
        self._left[child.pid] = (child.counting or child.handing) if late else ""

    def _reap(self) -> None:
        for pid in list(self._left):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] != 0
            except ChildProcessError:
                ended = True
            if ended:
                del self._left[pid]

    def _be_child(self, connection: socket.socket, line: socket.socket) -> None:
        """Answer one request and end; never returns."""
        code = 1
        try:
            self._listener.close()
            for other in self._children.values():
                other.line.close()
            signal.alarm(int(DEADLINE))
            answer = _Request(self._settings, line, self._lock).answer(connection)
            connection.settimeout(ARRIVAL)
            connection.sendall(wire.encode(answer))
            code = 0
        except OSError:
            pass  # the caller has left
        except Exception:
            traceback.print_exc()  # without values; the caller sees the connection close
        finally:
            sys.stderr.flush()
            os._exit(code)


class _Request:
    """The child: reads one request and does it."""

    def __init__(self, settings: Settings, line: socket.socket, lock: int) -> None:
        self._settings = settings
        self._line = line
        self._lock = lock

    def answer(self, connection: socket.socket) -> dict[str, Any]:
        try:
            request = wire.receive(connection, ARRIVAL)
            operation = request.get("op")
            policy = Policy.load(self._settings.policy)
            if operation == "authenticate":
                return self._authenticate(policy, request.get("user"), request.get("password"))
            if operation == "groups":
                entry = accounts.served(policy, request.get("user"))
                return {"ok": True, "groups": group_names(entry)}
            if operation == "ensure":
                with self._one_at_a_time():
                    made = accounts.ensure(policy, request.get("user"), self._may_make)
                if made:
                    _log(f"made the account {request['user']}")
                return {"ok": True, "made": made}
            if operation == "leave":
                with self._one_at_a_time():
                    accounts.leave(accounts.check_name(request.get("user")))
                _log(f"{request['user']} is no member any more")
                return {"ok": True}
            if operation == "standing":
                return self._standing(policy, request.get("user"))
            if operation == "disk":
                return self._disk(accounts.served(policy, request.get("user")))
            if operation == "content":
                return self._content(accounts.served(policy, request.get("user")), request)
            raise Refused("The account helper knows authenticate, ensure, groups, leave, standing, disk and content.")
        except RecursionError:
            return {"ok": False, "error": "The request is not JSON.", "remedy": ""}
        except HubwrightError as error:
            return {"ok": False, "error": error.problem.what, "remedy": error.problem.remedy}

    def _authenticate(self, policy: Policy, user: object, password: object) -> dict[str, Any]:
        began = time.monotonic()
        name = accounts.check_name(user)
        if not isinstance(password, str) or len(password) > LONGEST_PASSWORD:
            raise Refused(_WRONG)
        self._line.send(b"?" + name.encode())
        if wait := int(self._line.recv(16) or b"1"):
            _log(f"too many failures for {name}; told to wait {wait} s")
            return {"ok": False, "error": f"Too many failed attempts. Try again in {wait} seconds.", "wait": wait}
        error = _WRONG
        try:
            entry = accounts.served(policy, name)
            problem = check_password(name, password, policy.service)
            if not problem:
                self._line.send(b"+" + name.encode())
                return {"ok": True, "groups": group_names(entry)}
            error = problem
        except Refused as refusal:
            _log(f"login of {name} refused: {refusal.problem.what}")
        time.sleep(max(0.0, began + FAILURE_TAKES - time.monotonic()))
        return {"ok": False, "error": error}

    def _standing(self, policy: Policy, user: object) -> dict[str, Any]:
        """Say in `out` why somebody who has logged in before could not now; "" when he could."""
        try:
            entry = accounts.served(policy, user)
        except Refused as refusal:
            return {"ok": True, "out": refusal.problem.what}
        return {"ok": True, "out": standing.why_out(entry.pw_name, policy.service)}

    def _disk(self, entry: pwd.struct_passwd) -> dict[str, Any]:
        """Count the home of an account; this process is its owner's from then on."""
        self._line.send(b"#" + entry.pw_name.encode())
        if self._line.recv(16) != b"0":
            raise Refused("Another home is being counted.", remedy="Ask again later.")
        signal.alarm(int(DISK_TAKES + DEADLINE))
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        disk.be_idle()
        try:
            return {"ok": True, **disk.measure(Path(entry.pw_dir), DISK_TAKES)}
        except OSError as error:
            raise Refused(f"The home of {entry.pw_name} cannot be read: {error.strerror}.") from error

    def _content(self, entry: pwd.struct_passwd, request: dict[str, Any]) -> dict[str, Any]:
        """Hand contents out to a home; this process is its owner's from then on."""
        self._line.send(b"=" + entry.pw_name.encode())
        if self._line.recv(16) != b"0":
            raise Refused("Contents are just being handed out.", remedy="Ask again in a moment.")
        signal.alarm(int(DISK_TAKES + DEADLINE))
        return content.answer(entry, request, self._settings.run, self._settings.state)

    def _may_make(self) -> None:
        self._line.send(b"*")
        if wait := int(self._line.recv(16) or b"1"):
            raise Refused(f"Too many accounts were made in the last minute. Try again in {wait} seconds.")

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)  # by process, unlike flock(2), so that forks exclude each other
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


# PAM's own delay is random and comes only with some failures; ours is the same for all.
_NO_DELAY = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)(lambda *_: None)


def check_password(name: str, password: str, service: str) -> str:
    """Return "" when PAM accepts the password and the account may be used now, else what to tell the person.

    Why an account is refused is told only to who knows its password.
    """
    if not password or "\0" in password:  # PAM sees a C string: "secret\0..." would be "secret"
        return _WRONG
    try:
        answers = pamela.new_simple_password_conv((password.encode(),), "utf-8")
    except UnicodeEncodeError:
        return _WRONG
    try:
        handle = pamela.pam_start(service, name, conv_func=answers)
    except pamela.PAMError as error:
        _log(f"PAM does not start: {error}")
        return "Passwords cannot be checked now. Tell the admin: PAM does not start."
    code = 0
    try:
        set_item = ctypes.CDLL(pamela.LIBPAM._name).pam_set_item
        set_item.argtypes = [pamela.PamHandle, ctypes.c_int, ctypes.c_void_p]
        set_item(handle, _FAIL_DELAY, ctypes.cast(_NO_DELAY, ctypes.c_void_p))
        code = pamela.PAM_AUTHENTICATE(handle, _DISALLOW_NULL_AUTHTOK)
        if code != 0 or handle.get_item(_USER) != name:
            _log(f"wrong password for {name}")
            return _WRONG
        code = pamela.PAM_ACCT_MGMT(handle, 0)
    finally:
        pamela.PAM_END(handle, code)
    if code == 0:
        return ""
    _log(f"account of {name} refused by PAM: {pamela.pam_strerror(pamela.PamHandle(), code)}")
    if code == _NEW_AUTHTOK_REQD:
        return "Your password has expired. Change it on the machine, then log in again."
    return "Your account on this machine is locked or has expired. Ask the admin."


def _log(text: str) -> None:
    print(f"account helper: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Run the helper of the site that HUBWRIGHT_SITE names."""
    settings = Settings.load(Path(os.environ["HUBWRIGHT_SITE"]))
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    helper = Helper(settings)
    _log(f"serves {settings.account} on {settings.socket}")
    helper.serve()


if __name__ == "__main__":
    main()
