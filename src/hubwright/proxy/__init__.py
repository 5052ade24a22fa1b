"""Caddy in front of everything: its static configuration, the routing table on disk, JupyterLab's shared files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.proxy.configuration import Descriptors, configuration
from hubwright.proxy.scripts import of_every_page as first_scripts
from hubwright.proxy.static import LAB, publish, sweep

ENVIRONMENT = {"GOGC": "400"}
"""What Caddy's process gets besides PATH and HOME: its heap is a few MB, so collecting it less often is nearly free."""

__all__ = [
    "ENVIRONMENT",
    "LAB",
    "Descriptors",
    "check",
    "configuration",
    "configure",
    "first_scripts",
    "publish",
    "sweep",
]


_CANNOT = {
    "internal_ssl": "parts and servers speak over Unix sockets, which nobody else can connect to.",
    "subdomain_host": "each user's server has a path of the service's own name, and no name of its own.",
}
"""JupyterHub's settings that this proxy cannot follow, and why."""


def check(extra: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield what `extra` asks of JupyterHub that would keep its servers from being reached."""
    for setting, why in _CANNOT.items():
        if extra.get("JupyterHub", {}).get(setting):
            remedy = "Leave it out; docs/security.md tells what holds instead."
            yield Problem(f"hub.yaml extra.JupyterHub.{setting}", f"cannot hold: {why}", remedy)


def configure(site: Site, c: dict[str, dict[str, Any]]) -> None:
    """Write the JupyterHub settings of the proxy into `c`; the hub's own address is not among them."""
    c.setdefault("JupyterHub", {}).update(proxy_class="hubwright.proxy.caddy.CaddyProxy", cleanup_proxy=False)
    # no other site's form or frame has our cookies with it; and none goes by HTTP where there is HTTPS
    told: dict[str, Any] = {"samesite": "Lax"}
    if site.public_url.startswith("https:"):
        told["secure"] = True
    c["JupyterHub"].setdefault("tornado_settings", {})["cookie_options"] = told
    c.setdefault("CaddyProxy", {}).update(
        routes=str(site.routes), servers=str(site.servers), base_url=site.base_url, should_start=False
    )
