"""`Serving`: how browsers come to Caddy, as a value; what `https` in hub.yaml says, worked out for one site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hubwright.fields import Site

LOOPBACK = ("127.", "::1", "localhost")
"""How an address begins that only this machine can reach."""


@dataclass(frozen=True)
class Acme:
    """Where Caddy gets its certificate by itself."""

    names: tuple[str, ...]
    email: str
    directory: str
    roots: str | None
    """A PEM file by which the directory is trusted; None for what the machine trusts."""


@dataclass(frozen=True)
class Apex:
    """Pages of somebody's own beside the hub."""

    folder: str
    host: str
    beside: bool
    """Whether they have the hub's own name, and it has a path."""


@dataclass(frozen=True)
class Serving:
    """Plain HTTP by default."""

    encrypts: bool = False
    """Whether Caddy speaks TLS; without `acme` with the certificate that lies at `Site.certificate`."""
    acme: Acme | None = None
    redirect: tuple[str, int] | None = None
    """Where plain HTTP is listened for besides, and sent on."""
    apex: Apex | None = None
    proxies: tuple[str, ...] | None = None
    """Networks of the proxies before us: only they and this machine get answers, and only they are believed."""
    hsts: int = 0
    """Seconds for which browsers shall use HTTPS only; 0 does not say it."""
    authority: Path | None = None
    """The file of a certificate authority of our own, which people may fetch in order to trust it."""


PLAIN = Serving()


def host_of(url: str) -> str:
    """Return the host of an address, without brackets and port."""
    return urlsplit(url).hostname or ""


def port_of(url: str) -> int:
    """Return the port of an address."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def file_of(name: str, site: Site) -> Path:
    """Return a file's place: beside hub.yaml, when it is no whole path."""
    return (site.config.parent if site.config else Path()) / name


def is_open(site: Site) -> bool:
    """Whether other machines can reach what this service listens on."""
    return not site.listen[0].startswith(LOOPBACK)


def redirect_from(site: Site, port: int | None) -> tuple[str, int] | None:
    """Return where plain HTTP is listened for: on `port`, 0 for nowhere, None for 80 beside 443."""
    if port is None:
        port = 80 if site.listen[1] == 443 else 0
    return (site.listen[0], port) if port else None


def hsts_of(site: Site, seconds: float) -> int:
    """Return the seconds to tell browsers: none on another port than 443, since a browser keeps it for all ports."""
    return round(seconds) if port_of(site.public_url) == 443 else 0
