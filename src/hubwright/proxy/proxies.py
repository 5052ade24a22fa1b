"""The part of Caddy's configuration that is about a proxy before it: who is answered, and who is believed; pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hubwright.fields import Site
from hubwright.proxy.serving import Serving

_THIS_MACHINE = ("127.0.0.0/8", "::1/128")


def believing(serving: Serving) -> dict[str, Any]:
    """Believe the proxies, and of the addresses they name the last that is none of them."""
    if serving.proxies is None:
        return {}
    return {
        "trusted_proxies": {"source": "static", "ranges": list(serving.proxies)},
        "trusted_proxies_strict": 1,
        "client_ip_headers": ["X-Forwarded-For"],
    }


def only_from(site: Site, serving: Serving) -> list[dict[str, Any]]:
    """Answer nobody but the proxies and this machine: others would send their passwords unencrypted."""
    if serving.proxies is None:
        return []
    ranges = [*serving.proxies, *_THIS_MACHINE, *_own(site.listen[0])]
    text = f"This service is at {site.public_url}\n"
    headers = {"Content-Type": ["text/plain; charset=utf-8"]}
    return [
        {
            "match": [{"not": [{"remote_ip": {"ranges": ranges}}]}],
            "terminal": True,
            "handle": [{"handler": "static_response", "status_code": "403", "headers": headers, "body": text}],
        }
    ]


def _own(listen: str) -> list[str]:
    """Return the address on which we listen: whoever comes from it is on this machine."""
    try:
        address = ip_address(listen)
    except ValueError:
        return []
    return [] if address.is_unspecified else [str(address)]
