"""How a URL and a target become names on disk, the same in Python and in Caddy; pure.

A route is a folder `<kind>@<name>` or `<kind>@<name>@<server>`. Each part is spelled as Go's `url.QueryEscape` spells
the decoded text, which Caddy offers as `{http.request.uri.path_escaped}`: letters, digits and `-_.~+%` only. So two
escapes of one name give one folder, two names never do, and no name holds a slash, a glob's metacharacter or an `@`.
Inside lies one file, whose name is the target: `unix:<key>` or `tcp:<host>:<port>`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, quote_plus, unquote, unquote_to_bytes, urlsplit

from hubwright.errors import Refused

KINDS = ("user", "services")
LONGEST = 255
"""Bytes of a file name on every file system that a table may lie on."""

_PART = r"((?:[^%]|%[^2].|%2[^F])+)"
_KEY = re.compile(r"[0-9a-z_-]{1,64}")
_HOST = re.compile(r"[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]")


def route_pattern(base_url: str) -> str:
    """Return the RE2 expression over `path_escaped` that finds kind (1), name (2) and perhaps a server (3).

    Caddy's path is decoded but not cleaned: `..` is a name like any other, so a URL below `/user/a/`, which is where
    a browser sends a's cookies, can only ever find a route of a.
    """
    return f"^{re.escape(quote_plus(unquote(base_url)))}({'|'.join(KINDS)})%2F{_PART}(?:%2F{_PART})?"


def folder_of(routespec: str, base_url: str) -> str:
    """Return the folder's name of a route specification such as `/user/ann%40x/` or `/user/ann/lab2/`.

    `Refused` when it is not a user's or a service's route below `base_url`, or when its name is too long.
    """
    path = routespec.removeprefix(base_url) if routespec.startswith(base_url) else ""
    kind, *names = path.removesuffix("/").split("/")
    decoded = [unquote_to_bytes(name) for name in names]
    if kind not in KINDS or not 1 <= len(names) <= 2 or any(not name or b"/" in name for name in decoded):
        raise Refused(
            f'The route "{routespec}" cannot be made.',
            remedy=f"A route is {base_url}user/NAME/, {base_url}user/NAME/SERVER/ or {base_url}services/NAME/.",
        )
    folder = "@".join([kind, *map(quote_plus, decoded)])
    if len(folder) > LONGEST:
        raise Refused(
            f'The name in the route "{routespec[:80]}..." is too long: {len(folder)} bytes with its escapes.',
            remedy=f"At most {LONGEST} fit. Choose a shorter name.",
        )
    return folder


def file_of(target: str, servers: str) -> str:
    """Return the file's name for a target: a socket `<servers>/<key>/http.sock` as `http+unix://`, or `http://host:port`.

    `Refused` for any other, encrypted ones included.
    """
    try:
        parts = urlsplit(target)
        place, port = parts.netloc, parts.port or 80
    except ValueError:
        parts, place, port = urlsplit(""), "", 0
    host = re.sub(r":[0-9]*$", "", place)
    if parts.scheme == "http+unix" and parts.path in ("", "/"):
        socket = PurePosixPath(unquote(host))
        key = socket.parent.name
        if socket.name == "http.sock" and str(socket.parent.parent).lower() == servers.lower() and _KEY.fullmatch(key):
            return f"unix:{key}"
    elif parts.scheme == "http" and parts.path in ("", "/") and _HOST.fullmatch(host):
        return f"tcp:{host}:{port}"
    raise Refused(
        f'The proxy cannot forward to "{target}".',
        remedy=f"A target is http://HOST:PORT, or the socket {servers}/KEY/http.sock.",
    )


def target_of(name: str, servers: str) -> str:
    """Return a target that `file_of` turns into `name`; `Refused` when there is none."""
    kind, _, place = name.partition(":")
    socket = quote(f"{servers}/{place}/http.sock", safe="").lower()
    target = f"http+unix://{socket}:80" if kind == "unix" else f"http://{place}"
    if file_of(target, servers) != name:
        raise Refused(f'"{name}" is not the name of a target.')
    return target
