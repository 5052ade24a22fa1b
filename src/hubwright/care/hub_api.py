"""JupyterHub's REST API, asked with the command line's own token."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hubwright.errors import NotRunning, Refused
from hubwright.fields import Site

_PAGINATED = "application/jupyterhub-pagination+json"


class HubApi:
    """The hub of `site`. Every method raises `NotRunning` when it does not answer, `Refused` when it says no."""

    def __init__(self, site: Site, timeout: float = 10) -> None:
        self._site = site
        self._timeout = timeout

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request below `/hub/api`; return the answer's JSON, None when it is empty."""
        token = self._token()
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json", "Accept": _PAGINATED}
        connection = http.client.HTTPConnection("127.0.0.1", self._site.internal_port, timeout=self._timeout)
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

    def make_token(self, user: str, expires: float | None, note: str) -> str:
        """Return a new API token with all of the user's rights; `expires` in seconds from now, None for never."""
        body = {"note": note} if expires is None else {"note": note, "expires_in": round(expires)}
        return str(self.ask("POST", f"/users/{quote(user, safe='')}/tokens", body)["token"])

    def _token(self) -> str:
        path = self._site.secrets / "cli.token"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise NotRunning("No service runs here.", where=str(path), remedy='Start it: "hubwright up".') from None
        except PermissionError:
            raise Refused("Only whoever runs this service may do that.", where=str(path), remedy="Use sudo.") from None


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
