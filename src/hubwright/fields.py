"""Value types that every room speaks, and `Site`: where this service keeps its things."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

_BYTES = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([KMGT]?)i?B?", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(s|m|min|h|d)?", re.IGNORECASE)
_LARGEST = 2**60
_LONGEST = 100 * 365 * 86400.0
_SCALE = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_bytes(value: Any) -> int:
    """Return a number of bytes for `"10G"`, `"512M"` or a whole number (units are powers of 1024, as in systemd)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST:
        return value
    match = _BYTES.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not 0 < (size := int(float(match[1]) * _SCALE[match[2].upper()])) <= _LARGEST:
        raise ValueError(f'must be a size greater than zero such as "512M" or "10G", not {shown(value)}.')
    return size


def shown(value: Any) -> str:
    """Return a value as it stands in an error text: quoted like YAML, cut when it is long."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict() | list() | tuple():
            return "a section" if isinstance(value, dict) else "a list"
        case str():
            return json.dumps(value if len(value) <= 60 else value[:57] + "...", ensure_ascii=False)
        case _:
            return str(value)[:60]


def format_bytes(size: int) -> str:
    """Return the shortest exact form of a size, `10G` for 10737418240."""
    for unit in "TGMK":
        if size >= _SCALE[unit] and size % _SCALE[unit] == 0:
            return f"{size // _SCALE[unit]}{unit}"
    return str(size)


def parse_duration(value: Any) -> float:
    """Return seconds for `"1h"`, `"30m"`, `"45s"`, `"2d"` or a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = match[2].lower() if match and match[2] else None
    if match is None or (seconds := float(match[1]) * _SECONDS[unit]) > _LONGEST:
        raise ValueError(f'must be a duration such as "45s", "30m" or "1h", not {shown(value)}.')
    return seconds


def format_duration(seconds: float) -> str:
    """Return the shortest exact form of a duration, `1h` for 3600."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def parse_cpus(value: Any) -> float:
    """Return a number of processors, at least 0.01, for `2` or `0.5`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.01 <= value <= 4096:
        return float(value)
    raise ValueError(f"must be a number of processors between 0.01 and 4096, not {shown(value)}.")


def matching(pattern: re.Pattern[str], words: str, *, printable: bool = False) -> Callable[[str], str]:
    """Return a check that takes what fits a pattern as a whole, and says `words` of all else, with the value for `{}`.

    `printable` refuses control characters, too.
    """

    def check(value: str) -> str:
        if not pattern.fullmatch(value) or (printable and not value.isprintable()):
            raise ValueError(words.replace("{}", shown(value)))
        return value

    return check


_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,30}[a-z0-9_]|[a-z_]")


check_user_name = matching(
    _USER,
    "is not a user name: {}. "
    "Use 1 to 32 lower-case letters, digits, dots, dashes and underscores, beginning with a letter.",
)
"""Returns what is a Unix account name of at most 32 characters (useradd(8)'s rule, dots allowed); ValueError else."""

Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    PlainSerializer(format_bytes, return_type=str),
    WithJsonSchema({"title": "size", "type": ["string", "integer"], "examples": ["512M", "2G"]}),
]
Cpus = Annotated[
    float,
    BeforeValidator(parse_cpus),
    WithJsonSchema({"title": "processors", "type": "number", "minimum": 0.01, "maximum": 4096, "examples": [0.5, 2]}),
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"title": "duration", "type": ["string", "number"], "examples": ["45s", "30m", "1h"]}),
]
Processes = Annotated[int, Field(strict=True, ge=16, le=4_000_000)]
Secret = SecretStr
UserName = Annotated[
    str,
    AfterValidator(check_user_name),
    WithJsonSchema({"title": "user name", "type": "string", "pattern": f"^({_USER.pattern})$"}),
]


@dataclass(frozen=True)
class Site:
    """Where one service keeps its things and how its parts reach each other; made once by `up`, then only read."""

    config: Path | None
    """The hub.yaml it was made from; None for the defaults."""
    state: Path
    """What must survive a reboot: database, secrets, logs."""
    run: Path
    """What need not: sockets, routes, runtime folders. On tmpfs; with short paths (a Unix socket's has 107 bytes)."""
    prefix: Path
    """The Python environment that everything runs from."""
    account: str
    """The Unix account of hub and proxy; when `privileged` is false, the account of whoever runs it all."""
    privileged: bool
    """Whether it was started by root, and so can start servers as their users."""
    listen: tuple[str, int]
    public_url: str
    """How browsers reach it, with a trailing slash."""

    @property
    def base_url(self) -> str:
        """The path part of the public address, `/` or `/name/`."""
        return "/" + "/".join(self.public_url.split("/")[3:])

    @property
    def secrets(self) -> Path:
        """Mode 0700; one file a secret, 0600."""
        return self.state / "secrets"

    @property
    def logs(self) -> Path:
        """One file a part, and `users/` below it; 0600, bounded."""
        return self.state / "logs"

    @property
    def database(self) -> Path:
        """JupyterHub's SQLite database."""
        return self.state / "hub.sqlite"

    @property
    def static(self) -> Path:
        """Files that Caddy serves itself, by content hash; readable by its account only through Caddy."""
        return self.state / "static"

    @property
    def environments(self) -> Path:
        """Shared environments; root's, and where every user may go: scripts in them hold this path."""
        return Path("/opt/hubwright/environments") / instance_of(self.state) if self.privileged else self.state / "envs"

    @property
    def environments_built(self) -> Path:
        """What engines must know of shared environments to take them elsewhere: which version serves, and for whom."""
        return self.environments / "built.json"

    @property
    def own_kernel(self) -> Path:
        """The kernelspec of Hubwright's own environment; kept at a start while `environments.default` is no other."""
        return self.environments / ".own" / "current" / "kernel"

    @property
    def certificate(self) -> Path:
        """Certificate and key as Caddy reads them; for root and the hub's account only."""
        return self.run / "tls.pem"

    @property
    def acme(self) -> Path:
        """Where Caddy keeps what it gets by ACME."""
        return self.state / "acme"

    @property
    def authority(self) -> Path:
        """The certificate of the service's own authority, for people to take and trust."""
        return self.state / "authority.crt"

    @property
    def hub_socket(self) -> Path:
        """The hub's own listener; only Caddy's account may connect."""
        return self.run / "hub.sock"

    @property
    def api_socket(self) -> Path:
        """Caddy's second listener: how servers and services reach the hub's API, also while the hub restarts.

        Everybody may connect. `up` makes it, as root where it can, and it stays where it is when the service ends, so
        that nobody else can stand there for those who send their tokens to it.
        """
        return self.run / "api.sock"

    @property
    def fork_socket(self) -> Path:
        """Where the hub asks the fork server to list, poll, wait, signal and stop; holds no secret."""
        return self.run / "fork.sock"

    @property
    def start_socket(self) -> Path:
        """Where the hub asks the fork server for a server; the fork server forks before it reads."""
        return self.run / "start.sock"

    @property
    def account_socket(self) -> Path:
        """Where the hub asks the account helper to check a password or ensure an account."""
        return self.run / "account.sock"

    @property
    def metrics_socket(self) -> Path:
        """Where the hub asks the metrics for what servers and machine take."""
        return self.run / "metrics.sock"

    @property
    def zygote_socket(self) -> Path:
        """Where users' servers ask for kernels of shared environments that are forked; everybody may connect."""
        return self.run / "zygotes.sock"

    @property
    def page(self) -> Path:
        """JupyterLab's page for somebody who has no server yet; see `engines.local.page`."""
        return self.run / "page.html"

    @property
    def policy(self) -> Path:
        """Root-owned: whom fork server and account helper may serve, compiled from hub.yaml by `up`."""
        return self.run / "policy.json"

    @property
    def routes(self) -> Path:
        """Caddy's routing table."""
        return self.run / "routes"

    @property
    def servers(self) -> Path:
        """A folder for each running notebook server, its socket as `s/<key>/http.sock`. Kernels' sockets lie below it:
        their names are long, so this one is short."""
        return self.run / "s"


def instance_of(state: Path) -> str:
    """Return the eight characters that tell one service on this machine from another."""
    return sha256(str(state).encode()).hexdigest()[:8]


def server_key(user: str, server: str) -> str:
    """Return the short, lower-case name of a user's server in paths and sockets: 64 bits of SHA-256."""
    return sha256(f"{user}/{server}".encode()).hexdigest()[:16]


def unix_url(socket: Path, path: str = "/", port: int | None = None) -> str:
    """Return how JupyterHub writes the address of a Unix socket, in lower case, which its URL handling needs.

    A capital letter in the path of the socket is percent-encoded, so that it survives.
    """
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789-._~"
    host = "".join(chr(byte) if byte in plain else f"%{byte:02x}" for byte in os.fsencode(socket))
    return f"http+unix://{host}{f':{port}' if port else ''}{path}"
