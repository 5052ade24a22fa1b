"""A certificate of the service's own making, by a certificate authority that vouches for this service alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubwright.errors import Problem
from hubwright.fields import Site, shown
from hubwright.proxy.https.encrypting import RedirectPort, Strict, plain_url
from hubwright.proxy.serving import Serving, host_of, hsts_of, redirect_from

if TYPE_CHECKING:
    from hubwright.proxy.https.certificate import Pair

NAME = "self_made"
ENCRYPTS = True


def check_name(value: str) -> str:
    """Return a machine's name or address in lower case."""
    plain = value.replace(":", "").replace(".", "").replace("-", "")
    if not (plain.isascii() and plain.isalnum()) or len(value) > 253 or ".." in value or value[0] in ".-":
        raise ValueError(f"is not the name or address of a machine: {shown(value)}.")
    return value.lower()


class Config(BaseModel):
    """A certificate by an authority of the service's own. Browsers warn until they trust its file, which `up` names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["self_made"] = Field(description="Make a certificate, and the authority that signs it.")
    names: tuple[Annotated[str, AfterValidator(check_name)], ...] = Field(
        default=(),
        description="More names and addresses by which people come, besides that of `hub.url` or `hub.listen`.",
        examples=[["notebooks.lab", "10.0.0.5"]],
    )
    redirect_port: RedirectPort = None
    hsts: Strict = Field(
        default=0.0,
        description="For how long browsers shall use HTTPS only (HSTS). "
        "Browsers that do not trust the authority are then locked out. Said on port 443 only.",
    )


def check(config: Config, site: Site) -> list[Problem]:
    """Return what is wrong."""
    return plain_url(site)


def serving(config: Config, site: Site) -> Serving:
    """Return what Caddy is told."""
    return Serving(
        encrypts=True,
        redirect=redirect_from(site, config.redirect_port),
        hsts=hsts_of(site, config.hsts),
        authority=site.authority,
    )


def covers(config: Config, site: Site, host: str) -> bool:
    """Whether the certificate is made for `host`."""
    return host in names(config, site)


def watched(config: Config, site: Site) -> list[Path]:
    """Return no file: what there is only this module writes."""
    return []


def pair(config: Config, site: Site) -> Pair:
    """Return certificate and key; made anew when there is none, when it ends within a month, or for other names."""
    from hubwright.proxy.https.authority import issued

    return issued(site, names(config, site))


def names(config: Config, site: Site) -> tuple[str, ...]:
    """Return what the certificate is for: the names people use, and this machine for itself."""
    host, listen = host_of(site.public_url), site.listen[0]
    own = [] if listen in {"0.0.0.0", "::"} else [listen]  # noqa: S104
    return tuple(dict.fromkeys([host, *config.names, *own, "localhost", "127.0.0.1", "::1"]))
