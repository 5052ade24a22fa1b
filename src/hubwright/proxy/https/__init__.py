"""How browsers' connections are encrypted: one module for each `kind` of the section `https`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.kinds import Family, KindConfig
from hubwright.proxy.serving import Serving

if TYPE_CHECKING:
    from hubwright.proxy.https.certificate import Pair

FAMILY = Family(
    section="https",
    kinds={
        "acme": "hubwright.proxy.https.acme",
        "behind_proxy": "hubwright.proxy.https.behind_proxy",
        "files": "hubwright.proxy.https.files",
        "none": "hubwright.proxy.https.none",
        "self_made": "hubwright.proxy.https.self_made",
    },
    default="none",
    group="hubwright.https",
)


class Https(Protocol):
    """What the module of a kind offers."""

    NAME: ClassVar[str]
    ENCRYPTS: ClassVar[bool]
    """Whether Caddy speaks TLS."""

    def check(self, config: Any, site: Site) -> list[Problem]:
        """Return what keeps this section from working on this machine; changes nothing."""

    def serving(self, config: Any, site: Site) -> Serving:
        """Return what Caddy is told; pure."""

    def covers(self, config: Any, site: Site, host: str) -> bool:
        """Whether browsers that ask for `host` are shown a certificate for it; also when that is not ours to say."""

    def watched(self, config: Any, site: Site) -> list[Path]:
        """Return the files that `pair` reads."""

    def pair(self, config: Any, site: Site) -> Pair | None:
        """Return certificate and key for Caddy, made or renewed when that is this kind's way; None when Caddy has them.

        `HubwrightError` says why there is none.
        """


def https_of(config: KindConfig) -> Https:
    """Import the kind that a section is for."""
    return cast(Https, FAMILY.of(config))
