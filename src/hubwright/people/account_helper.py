"""The account helper: checks a password through PAM, makes an account or ends its membership, for a hub without root.

One of two programs that run as root. Standard library and pamela only. It listens on `site.account_socket`, serves
only root and the hub's account (SO_PEERCRED), and decides by the root-owned policy, so that a hub that was taken over
cannot reach root, sudoers or system accounts. It forks before it reads a request (`children.Parent`): passwords live in
a child's memory only. Guessing is slow, and so is filling the machine with accounts.

Started as `python -I -m hubwright.people.account_helper` with HUBWRIGHT_SITE naming the site's JSON file. The policy
names the PAM service.

Besides it counts, for the metrics, the disk that a home takes, and hands contents out to it: in a child that becomes
the home's owner first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hubwright.content import serving as content
from hubwright.errors import HubwrightError, Refused
from hubwright.machine import becoming, disk, wire
from hubwright.machine.policy import Policy, group_names
from hubwright.people import accounts, children, passwords, standing

FAILURE_TAKES = 2.0
"""Seconds that every failed check takes at least, so that the time does not tell which names exist."""


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


def answer(settings: Settings, lock: int, connection: socket.socket, line: socket.socket) -> dict[str, Any]:
    """Read one request and do it, in a child of its own.

    Args:
        settings: of the site.
        lock: a file that all children share: one changes accounts at a time.
        connection: the caller's.
        line: to the parent, which counts.
    """
    return _Request(settings, lock, line).answer(connection)


class _Request:
    def __init__(self, settings: Settings, lock: int, line: socket.socket) -> None:
        self._settings = settings
        self._line = line
        self._lock = lock

    def answer(self, connection: socket.socket) -> dict[str, Any]:
        try:
            request = wire.receive(connection, children.ARRIVAL)
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
        if not isinstance(password, str) or len(password) > passwords.LONGEST:
            raise Refused(passwords.WRONG)
        if wait := children.ask(self._line, children.TRY, name):
            _log(f"too many failures for {name}; told to wait {wait} s")
            return {"ok": False, "error": f"Too many failed attempts. Try again in {wait} seconds.", "wait": wait}
        error = passwords.WRONG
        try:
            if name in policy.teams:
                raise Refused("it is a group's, and nobody's to log in with")
            entry = accounts.served(policy, name)
            refused = passwords.check(name, password, policy.service)
            if refused is None:
                children.tell(self._line, children.WORKED, name)
                return {"ok": True, "groups": group_names(entry)}
            _log(refused.noted)
            error = refused.told
        except Refused as refusal:
            _log(f"login of {name} refused: {refusal.problem.what}")
        children.tell(self._line, children.REST, name)
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
        if children.ask(self._line, children.COUNT, entry.pw_name):
            raise Refused("Another home is being counted.", remedy="Ask again later.")
        signal.alarm(int(children.HOME_TAKES + children.DEADLINE))
        try:
            becoming.become(entry.pw_name, entry.pw_uid, entry.pw_gid)
            disk.be_idle()
            return {"ok": True, **disk.measure(Path(entry.pw_dir), children.HOME_TAKES)}
        except becoming.Root as error:
            raise Refused(f"{entry.pw_name}: {error}.") from error
        except OSError as error:
            raise Refused(f"The home of {entry.pw_name} cannot be read: {error.strerror}.") from error

    def _content(self, entry: pwd.struct_passwd, request: dict[str, Any]) -> dict[str, Any]:
        """Hand contents out to a home; this process is its owner's from then on."""
        if children.ask(self._line, children.HAND, entry.pw_name):
            raise Refused("Contents are just being handed out.", remedy="Ask again in a moment.")
        signal.alarm(int(children.HOME_TAKES + children.DEADLINE))
        return content.answer(entry, request, self._settings.run, self._settings.state)

    def _may_make(self) -> None:
        if wait := children.ask(self._line, children.MAKE):
            raise Refused(f"Too many accounts were made in the last minute. Try again in {wait} seconds.")

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)  # by process, unlike flock(2), so that forks exclude each other
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


def _log(text: str) -> None:
    print(f"account helper: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Run the helper of the site that HUBWRIGHT_SITE names."""
    settings = Settings.load(Path(os.environ["HUBWRIGHT_SITE"]))
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    lock = os.memfd_create("accounts")
    parent = children.Parent(settings.socket, settings.account, partial(answer, settings, lock))
    _log(f"serves {settings.account} on {settings.socket}")
    parent.serve()


if __name__ == "__main__":
    main()
