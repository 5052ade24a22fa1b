"""The part of Caddy's configuration that is about TLS; pure.

Sources: https://caddyserver.com/docs/json/apps/tls/ and /apps/http/servers/tls_connection_policies/
"""

from __future__ import annotations

from typing import Any

from hubwright.fields import Site
from hubwright.proxy.https import acme_log
from hubwright.proxy.serving import Serving, port_of

_TAG = "public"
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104


def encrypted(serving: Serving) -> dict[str, Any]:
    """Return what a server of Caddy's needs to speak TLS: 1.2 and up, HTTP/2, plain HTTP on its port sent to HTTPS."""
    if not serving.encrypts:
        return {}
    return {
        "protocols": ["h1", "h2"],
        "listener_wrappers": [{"wrapper": "http_redirect"}, {"wrapper": "tls"}],
        "tls_connection_policies": [{"protocol_min": "tls1.2", **_chosen(serving)}],
    }


def _chosen(serving: Serving) -> dict[str, Any]:
    """Which certificate is shown: the one there is, to whoever asks; by ACME the one of the name, else the first."""
    if serving.acme:
        return {"default_sni": serving.acme.names[0]}
    return {"certificate_selection": {"any_tag": [_TAG]}}


def ports_of(site: Site, serving: Serving) -> dict[str, Any]:
    """Return where Caddy itself answers an authority's questions."""
    if not (serving.acme and serving.redirect):
        return {}
    return {"http_port": serving.redirect[1], "https_port": site.listen[1]}


def storage(site: Site, serving: Serving) -> dict[str, Any]:
    """Return where Caddy keeps its account and certificates: what must survive, for its own account only."""
    return {"storage": {"module": "file_system", "root": str(site.acme)}} if serving.acme else {}


def talks(site: Site, serving: Serving) -> dict[str, Any]:
    """Return the log of what an authority was asked and answered."""
    return {"acme": acme_log.writer(site)} if serving.acme else {}


def certificates(site: Site, serving: Serving) -> dict[str, Any]:
    """Return Caddy's `tls` app: where its certificate comes from."""
    if not serving.encrypts:
        return {}
    if acme := serving.acme:
        issuer: dict[str, Any] = {"module": "acme", "email": acme.email, "ca": acme.directory}
        if acme.roots:
            issuer["trusted_roots_pem_files"] = [acme.roots]
        if site.listen[0] not in _EVERYWHERE:  # where Caddy looks whether somebody, which is itself, answers already
            issuer["challenges"] = {"bind_host": site.listen[0]}
        names = list(acme.names)
        policy = {"subjects": names, "issuers": [issuer]}
        return {"tls": {"certificates": {"automate": names}, "automation": {"policies": [policy]}}}
    file = str(site.certificate)
    return {"tls": {"certificates": {"load_files": [{"certificate": file, "key": file, "tags": [_TAG]}]}}}


def redirecting(site: Site) -> dict[str, Any]:
    """Send a request on to HTTPS, to the name it came by; nobody is to remember it for longer than it holds."""
    port = port_of(site.public_url)
    place = "https://{http.request.host}" + (f":{port}" if port != 443 else "") + "{http.request.uri}"
    headers = {"Location": [place], "Cache-Control": ["no-store"], "Connection": ["close"]}
    return {"handle": [{"handler": "static_response", "status_code": "308", "headers": headers}]}
