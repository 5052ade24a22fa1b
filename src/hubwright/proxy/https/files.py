"""A certificate and a key that are there already, as PEM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hubwright.errors import ConfigError, Problem
from hubwright.fields import Duration, Site
from hubwright.proxy.serving import Serving, host_of, hsts_of, redirect_from

if TYPE_CHECKING:
    from hubwright.proxy.https.certificate import Pair

NAME = "files"
ENCRYPTS = True


class Config(BaseModel):
    """A certificate that is there already, as PEM. A new one is taken within seconds, and websockets stay open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["files"] = Field(description="Use a certificate that is there already.")
    certificate: str = Field(
        min_length=1,
        max_length=1000,
        description="The certificate, with those between it and its CA; perhaps with its key.",
        examples=["/etc/ssl/notebooks.pem"],
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Its private key, when that is a file of its own.",
        examples=["/etc/ssl/private/notebooks.key"],
    )
    passphrase_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A file with the passphrase of an encrypted key, in one line; for root's eyes only.",
        examples=["/etc/hubwright/passphrase"],
    )
    redirect_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="The port on which plain HTTP is sent on to HTTPS; `0` for none. "
        "Without it 80 when `hub.listen` has port 443, else none.",
        examples=[80],
    )
    hsts: Annotated[Duration, Field(le=2 * 365 * 86400)] = Field(
        default=180 * 86400.0,
        description="For how long browsers shall use HTTPS only (HSTS); `0` does not say it. "
        "Said on port 443 only: browsers keep it for all ports of the name.",
    )


def check(config: Config, site: Site) -> list[Problem]:
    """Return what is wrong with the files."""
    from hubwright.proxy.https.certificate import ending, read, uncovered

    if not site.public_url.startswith("https:"):
        return [http_url()]
    try:
        pair, found = read(*_paths(config, site))
    except ConfigError as error:
        return list(error.problems)
    place = "hub.yaml https.certificate"
    remedy = "Put a new one there before; it is taken without a restart."
    return [*found, *ending(pair, place, remedy), *uncovered(pair, [host_of(site.public_url)], place)]


def serving(config: Config, site: Site) -> Serving:
    """Return what Caddy is told."""
    return Serving(encrypts=True, redirect=redirect_from(site, config.redirect_port), hsts=hsts_of(site, config.hsts))


def watched(config: Config, site: Site) -> list[Path]:
    """Return the files that `pair` reads."""
    return [path for path in _paths(config, site) if path]


def pair(config: Config, site: Site) -> Pair:
    """Return what is in the files; `ConfigError` as `certificate.read`."""
    from hubwright.proxy.https.certificate import read

    return read(*_paths(config, site))[0]


def http_url() -> Problem:
    """Return what to say of an address that begins with `http:`, where HTTPS is served."""
    return Problem(
        "hub.yaml hub.url", "begins with http://, but `https` has the service encrypted.", "Write https:// there."
    )


def _paths(config: Config, site: Site) -> tuple[Path, Path | None, Path | None]:
    from hubwright.proxy.https.certificate import file_of

    key = file_of(config.key, site) if config.key else None
    passphrase = file_of(config.passphrase_file, site) if config.passphrase_file else None
    return file_of(config.certificate, site), key, passphrase
