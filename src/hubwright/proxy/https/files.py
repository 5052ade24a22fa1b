"""A certificate and a key that are there already, as PEM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from hubwright.errors import ConfigError, Problem
from hubwright.fields import Site
from hubwright.proxy.https.encrypting import HALF_A_YEAR, Hsts, RedirectPort, plain_url
from hubwright.proxy.serving import Serving, file_of, host_of, hsts_of, redirect_from

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
    redirect_port: RedirectPort = None
    hsts: Hsts = HALF_A_YEAR


def check(config: Config, site: Site) -> list[Problem]:
    """Return what is wrong with the files."""
    from hubwright.proxy.https.certificate import ending, read, uncovered

    if wrong := plain_url(site):
        return wrong
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


def covers(config: Config, site: Site, host: str) -> bool:
    """Whether the certificate is for `host`; files that cannot be used are told by `check`."""
    from hubwright.proxy.https.certificate import read

    try:
        return read(*_paths(config, site))[0].covers(host)
    except ConfigError:
        return True


def watched(config: Config, site: Site) -> list[Path]:
    """Return the files that `pair` reads."""
    return [path for path in _paths(config, site) if path]


def pair(config: Config, site: Site) -> Pair:
    """Return what is in the files; `ConfigError` as `certificate.read`."""
    from hubwright.proxy.https.certificate import read

    return read(*_paths(config, site))[0]


def _paths(config: Config, site: Site) -> tuple[Path, Path | None, Path | None]:
    key = file_of(config.key, site) if config.key else None
    passphrase = file_of(config.passphrase_file, site) if config.passphrase_file else None
    return file_of(config.certificate, site), key, passphrase
