"""A stand-in for GitHub, as its documentation has it: the web application flow, and what its API tells of who logs in.

Sources: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps (errors of the token's
address come with status 200), /rest/users/users, /rest/orgs/orgs, /rest/teams/teams. Its addresses are those of an
Enterprise Server: `/login/oauth/...` and `/api/v3/...`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "Iv1.hub", "the secret that the forge gave the hub"
LOGIN = '<form method="post"><input name="login"><input name="password" type="password"></form>'
_WRONG = {
    "incorrect_client_credentials": "The client_id and/or client_secret passed are incorrect.",
    "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL for this application.",
    "bad_verification_code": "The code passed is incorrect or expired.",
}


class Forge:
    """The provider, in a thread; it knows one application, with one callback address."""

    def __init__(self, callback: str) -> None:
        self.callback = callback
        self.people: dict[str, dict[str, Any]] = {
            "Ada-L": {"id": 11, "password": "ada's", "orgs": ["Lab"], "teams": [("Lab", "Teachers")]},
            "bob": {"id": 12, "password": "bob's", "orgs": ["Elsewhere"], "teams": []},
        }
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, tuple[str, str]] = {}
        """Whose each is, and for which scopes."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.forge = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def start(self) -> Forge:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def code(self, login: str, query: dict[str, str]) -> str:
        """Return a code for somebody who has logged in at the page that was asked for with `query`."""
        made = secrets.token_hex(10)
        self.codes[made] = {**query, "login": login}
        return made

    def exchange(self, sent: dict[str, str]) -> dict[str, str]:
        """Return a token for a code, once, or what is wrong."""
        found = self.codes.pop(sent.get("code", ""), None)
        verifier = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        wrong = ""
        if (sent.get("client_id"), sent.get("client_secret")) != (CLIENT, SECRET):
            wrong = "incorrect_client_credentials"
        elif sent.get("redirect_uri") != self.callback:
            wrong = "redirect_uri_mismatch"
        elif found is None or found.get("code_challenge") != challenge:
            wrong = "bad_verification_code"
        if wrong or found is None:
            return {"error": wrong, "error_description": _WRONG[wrong], "error_uri": "https://docs.github.com/"}
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = found["login"], found.get("scope", "")
        return {"access_token": token, "scope": found.get("scope", ""), "token_type": "bearer"}

    def tell(self, path: str, token: str) -> tuple[int, Any]:
        """Return what the API answers to the holder of a token."""
        login, scope = self.tokens.get(token, ("", ""))
        if login not in self.people:
            return 401, {"message": "Bad credentials"}
        one = self.people[login]
        if path == "/user":
            return 200, {"login": login, "id": one["id"], "type": "User"}
        if "read:org" not in scope:
            return 403, {"message": "You need at least read:org scope"}
        if path == "/user/orgs":
            return 200, [{"login": name, "id": number} for number, name in enumerate(one["orgs"])]
        if path == "/user/teams":
            return 200, [{"slug": slug.lower(), "organization": {"login": org}} for org, slug in one["teams"]]
        return 404, {"message": "Not Found"}


class _Handler(BaseHTTPRequestHandler):
    def _place(self) -> tuple[Forge, str, dict[str, str]]:
        url = urlsplit(self.path)
        return self.server.forge, url.path, {key: values[0] for key, values in parse_qs(url.query).items()}  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        forge, path, query = self._place()
        if path == "/login/oauth/authorize":
            known = query.get("client_id") == CLIENT
            return self._answer(200 if known else 404, LOGIN if known else "Not Found", "text/html")
        if path.startswith("/api/v3/"):
            token = self.headers.get("Authorization", "").partition(" ")[2]
            return self._json(*forge.tell(path.removeprefix("/api/v3"), token))
        return self._answer(404, "Not Found", "text/html")

    def do_POST(self) -> None:
        forge, path, query = self._place()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        sent = {key: values[0] for key, values in parse_qs(body).items()}
        if path == "/login/oauth/access_token":
            return self._json(200, forge.exchange(sent))
        person = forge.people.get(sent.get("login", ""))
        if path != "/login/oauth/authorize" or person is None or person["password"] != sent.get("password"):
            return self._answer(200, "Incorrect username or password.", "text/html")
        told = {"code": forge.code(sent["login"], query), "state": query["state"]}
        if query.get("redirect_uri") != forge.callback:
            told = {"error": "redirect_uri_mismatch", "error_description": _WRONG["redirect_uri_mismatch"]}
        self.send_response(302)
        self.send_header("Location", f"{forge.callback}?{urlencode(told)}")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _json(self, status: int, found: Any) -> None:
        self._answer(status, json.dumps(found), "application/json; charset=utf-8")

    def _answer(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""
