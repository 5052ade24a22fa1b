"""Another machine, or another program, stands before this service and encrypts."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubwright.errors import Problem
from hubwright.fields import Site, shown
from hubwright.proxy.https.elsewhere import covers as covers
from hubwright.proxy.https.elsewhere import pair as pair
from hubwright.proxy.https.elsewhere import watched as watched
from hubwright.proxy.https.encrypting import HALF_A_YEAR, Hsts
from hubwright.proxy.serving import Serving, hsts_of, is_open

NAME = "behind_proxy"
ENCRYPTS = False


def _check_network(value: str) -> str:
    try:
        network = ip_network(value)
    except ValueError as error:
        what = f'must be an address such as "10.0.0.5" or a network such as "10.0.0.0/24", not {shown(value)}.'
        raise ValueError(what) from error
    if network.prefixlen == 0:
        raise ValueError(f"would believe everybody: {shown(value)}. Name the proxy's own address.")
    return str(network)


class Config(BaseModel):
    """A proxy encrypts. Only it and this machine get answers; what it says of clients is believed, and nobody else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["behind_proxy"] = Field(description="Let a proxy before this service encrypt.")
    trusted: tuple[Annotated[str, AfterValidator(_check_network)], ...] = Field(
        default=("127.0.0.1/32", "::1/128"),
        min_length=1,
        description="Addresses or networks of the proxy, as this machine sees them; "
        "those of this machine for a proxy on it, or at the other end of a tunnel.",
        examples=[["10.0.0.5"]],
    )
    hsts: Hsts = HALF_A_YEAR


def check(config: Config, site: Site) -> list[Problem]:
    """Return what cannot work: no address with HTTPS, or a proxy that could not come."""
    found = []
    if not site.public_url.startswith("https:"):
        what = "must say the proxy's address, which begins with https://."
        found.append(Problem("hub.yaml hub.url", what, "Write it as people see it in their browsers."))
    if is_open(site) and all(ip_network(one).is_loopback for one in config.trusted):
        what = "other machines reach this address, and none of them would get an answer."
        remedy = "Name the proxy's address in https.trusted, or listen on 127.0.0.1 for one on this machine."
        found.append(Problem("hub.yaml hub.listen", what, remedy))
    return found


def serving(config: Config, site: Site) -> Serving:
    """Return what Caddy is told."""
    return Serving(proxies=config.trusted, hsts=hsts_of(site, config.hsts))
