"""A certificate by ACME (RFC 8555), as from Let's Encrypt; Caddy asks for it and renews it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubwright.errors import Problem
from hubwright.fields import Site, shown
from hubwright.machine.files import hidden_from
from hubwright.proxy.https import acme_log, rationing
from hubwright.proxy.https.elsewhere import pair as pair
from hubwright.proxy.https.elsewhere import watched as watched
from hubwright.proxy.https.encrypting import HALF_A_YEAR, Hsts, plain_url
from hubwright.proxy.https.self_made import check_name
from hubwright.proxy.serving import Acme, Serving, file_of, host_of, hsts_of

NAME = "acme"
ENCRYPTS = True


def _check_email(value: str) -> str:
    name, at, host = value.partition("@")
    if not (name and at and "." in host) or not value.isprintable() or " " in value or "@" in host:
        raise ValueError(f'must be an address such as "admin@example.org", not {shown(value)}.')
    return value


def _check_directory(value: str) -> str:
    if not value.startswith("https://") or not host_of(value):
        raise ValueError(f"must be an address that begins with https://, not {shown(value)}.")
    return value


class Config(BaseModel):
    """A certificate from Let's Encrypt or another such authority; the world must reach ports 80 and 443."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["acme"] = Field(description="Get a certificate by ACME, and renew it.")
    email: Annotated[str, AfterValidator(_check_email)] = Field(
        description="Where the authority writes when something is wrong.", examples=["admin@example.org"]
    )
    names: tuple[Annotated[str, AfterValidator(check_name)], ...] = Field(
        default=(),
        description="More names by which people come, besides that of `hub.url`.",
        examples=[["example.org"]],
    )
    directory: Annotated[str, AfterValidator(_check_directory)] = Field(
        default="https://acme-v02.api.letsencrypt.org/directory",
        description="The authority's directory. Let's Encrypt's for tests is "
        "https://acme-staging-v02.api.letsencrypt.org/directory.",
    )
    directory_ca: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A file with the certificate by which the directory itself is trusted, when the machine does not.",
        examples=["/etc/ssl/company.pem"],
    )
    probe: bool = Field(
        default=True,
        description="Try before the first request whether the names lead to this machine. "
        "Turn it off where a router does not let this machine reach itself by its public address.",
    )
    hsts: Hsts = HALF_A_YEAR


def check(config: Config, site: Site) -> list[Problem]:
    """Return what would make the authority refuse: it counts refused requests, and answers none after some."""
    from hubwright.proxy.https.reach import unreachable

    if wrong := plain_url(site):
        return wrong
    if site.listen[1] != 443 or site.listen[0].startswith(("127.", "::1", "localhost")):
        what = "must be port 443 of an address that others reach: there, and at port 80, the authority looks."
        return [Problem("hub.yaml hub.listen", what, 'Write listen: "0.0.0.0:443".')]
    found = [*_unreadable(file_of(config.directory_ca, site), site)] if config.directory_ca else []
    host = host_of(site.public_url)
    if "." not in host or host.replace(".", "").isdigit() or ":" in host:
        what = f"must have a name that the world knows; {host} is none."
        return [*found, Problem("hub.yaml hub.url", what, 'Write it as "https://notebooks.example.org/".')]
    if config.probe and not (site.acme / "certificates").exists():
        found += unreachable(_names(config, site), site)
    if host_of(config.directory) == rationing.HOST:
        missing = [name for name in _names(config, site) if not _has(site, name)]
        found += rationing.too_soon(missing, acme_log.path_of(site), datetime.now(UTC))
    return found


def _has(site: Site, name: str) -> bool:
    return any((site.acme / "certificates").glob(f"{rationing.HOST}*/{name}/{name}.crt"))


def serving(config: Config, site: Site) -> Serving:
    """Return what Caddy is told."""
    roots = str(file_of(config.directory_ca, site)) if config.directory_ca else None
    acme = Acme(_names(config, site), config.email, config.directory, roots)
    return Serving(encrypts=True, redirect=(site.listen[0], 80), hsts=hsts_of(site, config.hsts), acme=acme)


def covers(config: Config, site: Site, host: str) -> bool:
    """Whether a certificate for `host` is asked for."""
    return host in _names(config, site)


def _unreadable(path: Path, site: Site) -> Iterator[Problem]:
    place = "hub.yaml https.directory_ca"
    if not path.is_file():
        yield Problem(place, f"there is no file {path}.", "Name it from the folder of hub.yaml.")
    elif site.privileged and (hidden := hidden_from(path, site.account)):
        yield Problem(place, f"{hidden} cannot be read by {site.account}.", "It is no secret: let everybody read it.")


def _names(config: Config, site: Site) -> tuple[str, ...]:
    return tuple(dict.fromkeys([host_of(site.public_url), *config.names]))
