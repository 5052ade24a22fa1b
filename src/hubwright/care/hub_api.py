"""JupyterHub's REST API, asked with the command line's own token."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from hubwright.errors import NotRunning, Refused
from hubwright.fields import Site
from hubwright.machine import opening, wire
from hubwright.machine.files import Owner

_PAGINATED = "application/jupyterhub-pagination+json"


def unknown(name: str) -> Refused:
    """Return the error for a name that the hub does not know; it says itself only that something was not found."""
    return Refused(f'There is no "{name}" here.', remedy='See "hubwright user list".')


class HubApi:
    """The hub of `site`. Every method raises `NotRunning` when it does not answer, `Refused` when it says no."""

    def __init__(self, site: Site, timeout: float = 10) -> None:
        self._site = site
        self._timeout = timeout

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request below `/hub/api`; return the answer's JSON, None when it is empty."""
        token = self._token()
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json", "Accept": _PAGINATED}
        connection = _Connection(self._site, self._timeout)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"{self._site.base_url}hub/api{path}", content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(f"The hub does not answer: {error}.", remedy='See "hubwright status".') from error
        finally:
            connection.close()
        if answer.status >= 502:
            raise NotRunning("The hub does not answer.", remedy='See "hubwright status" and "hubwright logs hub".')
        if answer.status >= 400:
            raise Refused(_message(text) or f"The hub refused: {answer.status} {answer.reason}.")
        return json.loads(text) if text else None

    def users(self, *, active: bool = False) -> list[dict[str, Any]]:
        """Return every user, or with `active` those with a running server, page by page."""
        found: list[dict[str, Any]] = []
        state = "&state=active" if active else ""
        while True:
            page = self.ask("GET", f"/users?offset={len(found)}&limit=200{state}")
            found += page["items"]
            if page["_pagination"]["next"] is None:
                return found

    def count_users(self) -> int:
        """Return how many users the hub knows."""
        return int(self.ask("GET", "/users?limit=1")["_pagination"]["total"])

    def make_token(self, user: str, expires: float | None, note: str, scopes: Sequence[str] = ()) -> str:
        """Return a new API token with all of the user's rights, or those `scopes` of them.

        `expires` is in seconds from now, None for never.
        """
        body: dict[str, Any] = {"note": note}
        if expires is not None:
            body["expires_in"] = round(expires)
        if scopes:
            body["scopes"] = list(scopes)
        return str(self.ask("POST", f"/users/{quote(user, safe='')}/tokens", body)["token"])

    def _token(self) -> str:
        """Read the token, of which only the file itself is trusted: the hub's account can put others in its place."""
        path = self._site.secrets / "cli.token"
        owner = Owner.of(self._site.account).uid if self._site.privileged else os.geteuid()
        try:
            descriptor = os.open(path, opening.FILE)
            try:
                found = os.fstat(descriptor)
                ours = stat.S_ISREG(found.st_mode) and found.st_uid == owner
                token = os.read(descriptor, 1000).decode("ascii", "replace").strip() if ours else ""
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise NotRunning("No service runs here.", where=str(path), remedy='Start it: "hubwright up".') from None
        except PermissionError:
            raise Refused("Only whoever runs this service may do that.", where=str(path), remedy="Use sudo.") from None
        except OSError as error:
            raise Refused(f"This file cannot be read: {error.strerror}.", where=str(path)) from error
        if not (token.isascii() and token.isalnum()):
            raise Refused(
                "This is not the token that Hubwright made.",
                where=str(path),
                remedy='Remove it, then start "hubwright up" again.',
            )
        return token


class _Connection(http.client.HTTPConnection):
    """To the hub's API, through Caddy, which waits for a hub that restarts."""

    def __init__(self, site: Site, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = site.api_socket

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
        if (uid := wire.peer(self.sock)) not in {0, os.geteuid()}:
            raise ConnectionRefusedError(f"user {uid} listens on {self._path}")


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
