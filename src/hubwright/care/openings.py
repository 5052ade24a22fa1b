"""What a service listens on, and for whom; from hub.yaml alone, pure.

Everything else of it speaks over Unix sockets: there is no port between its parts, nor to a notebook server.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from hubwright.config.load import Loaded
from hubwright.fields import Site
from hubwright.proxy.https import https_of
from hubwright.proxy.serving import Serving, is_open


@dataclass(frozen=True)
class Opening:
    """One TCP port of this machine."""

    port: int
    address: str
    """The address of this machine on which it listens; `0.0.0.0` and `::` are all of them."""
    what: str
    sources: tuple[str, ...] = ()
    """Networks that need it; none: everybody, when it is `open`."""
    open: bool = True
    """Whether other machines can and shall come."""

    @property
    def who(self) -> str:
        """For whom it is, in words."""
        if not self.open:
            return "this machine only"
        return ", ".join(self.sources) or "everybody"


def openings(loaded: Loaded, site: Site) -> list[Opening]:
    """Return the ports of the service."""
    serving = https_of(loaded.hub.https).serving(loaded.hub.https, site)
    sources = (
        () if serving.proxies is None else tuple(one for one in serving.proxies if not ip_network(one).is_loopback)
    )
    host, port = site.listen
    reached = is_open(site) and (serving.proxies is None or bool(sources))
    found = [Opening(port, host, _what(serving), sources, reached)]
    if serving.redirect:
        what = "HTTP, sent on to HTTPS"
        if serving.acme:
            what += "; and the certificate authority's question (ACME)"
        found.append(Opening(serving.redirect[1], serving.redirect[0], what, (), is_open(site)))
    return found


def _what(serving: Serving) -> str:
    if serving.proxies is not None:
        return "the service, for the proxy before it (HTTP)"
    if serving.acme:
        return "the service (HTTPS), and the certificate authority's question (ACME)"
    return "the service (HTTPS)" if serving.encrypts else "the service (HTTP)"
