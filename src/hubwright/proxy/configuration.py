"""Caddy's configuration; pure, and never changed while Caddy runs: every reload takes time.

It is read again, as it is, when there is a new certificate; see `care.renewal`.

Sources: https://caddyserver.com/docs/json/ and, for what is not said there, modules/caddyhttp of Caddy 2.11.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubwright.fields import Site
from hubwright.proxy.apex import pages
from hubwright.proxy.names import route_pattern
from hubwright.proxy.pages import hub_silent, server_silent
from hubwright.proxy.proxies import believing, only_from
from hubwright.proxy.serving import PLAIN, Serving
from hubwright.proxy.table import check_root
from hubwright.proxy.tls import certificates, encrypted, ports_of, redirecting, storage, talks
from hubwright.proxy.worker import worker

_NOT_TRUSTED = [
    "Forwarded",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Real-Ip",
    "X-Scheme",
]
"""Headers that Tornado or JupyterHub believe; Caddy itself sets X-Forwarded-For, -Host and -Proto anew."""

_TRANSPORT = {
    "protocol": "http",
    "compression": False,
    "dial_timeout": "5s",
    "keep_alive": {"enabled": True, "idle_timeout": "2m", "max_idle_conns_per_host": 128},
}
_ONCE = {**_TRANSPORT, "keep_alive": {"enabled": False}}
"""A connection for each request. One that was kept from before may be closed by the hub's end just when a request goes
out on it: nobody then knows whether a POST was heard, and nobody may send it again."""
_HEADERS = 56 * 1024
"""Bytes of a request's headers, 4 kB less than Go then takes: what Tornado takes with those that we add. Caddy's own
16 kB are filled by the cookies of a dozen servers and logins."""
_FOR_EVER = "87600h"
"""How long a websocket stays open when Caddy reads its configuration, with a new certificate, again (SIGUSR1)."""
_PATH = "{http.request.uri.path_escaped}"
_KEPT_BACK = ["Service-Worker-Allowed"]
"""What nothing behind us may tell a browser: that a service worker of its own is for everybody's paths."""
_TOLD = {"X-Content-Type-Options": ["nosniff"], "Referrer-Policy": ["same-origin"]}


@dataclass(frozen=True)
class Descriptors:
    """Under which numbers Caddy inherits its listening sockets."""

    public: int
    internal: int
    redirect: int = -1
    """For plain HTTP that is sent on, where `Serving.redirect` says so."""


def configuration(
    site: Site, descriptors: Descriptors, serving: Serving = PLAIN, scripts: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the JSON for `caddy run --config`; the descriptors are bound, listening sockets that Caddy inherits.

    `scripts` are the paths of what every page of JupyterLab loads first.
    """
    base = site.base_url
    proxied = serving.proxies is not None
    public = [
        *_secure(serving),
        *only_from(site, serving),
        *pages(site, serving.apex),
        *_authority(site, serving),
        _lab(site),
    ]
    public += [*worker(base, scripts), *_hints(base, scripts), _table(site, proxied), _hub(site, proxied=proxied)]
    servers = {
        "public": {
            **_server(descriptors.public, public, _errors(base)),
            **encrypted(serving),
            **believing(serving),
        },
        "internal": _server(
            descriptors.internal,
            [
                {"match": [_uri(f"^{re.escape(base)}hub/api([/?]|$)")], **_hub(site, internal=True)},
                {"handle": [_answer(404, "Not found.\n")]},
            ],
            [{"handle": [_answer(503, "The hub does not answer.\n")]}],
        ),
    }
    if serving.redirect:
        servers["redirect"] = _server(descriptors.redirect, [redirecting(site)], [])
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": _log(), **talks(site, serving)}},
        **storage(site, serving),
        "apps": {"http": {**ports_of(site, serving), "servers": servers}, **certificates(site, serving)},
    }


def _secure(serving: Serving) -> list[dict[str, Any]]:
    """What every answer tells the browser; `set` once more at the end what a server behind us may have said, too."""
    told: list[dict[str, Any]] = [{"handler": "headers", "response": {"deferred": True, "set": _TOLD}}]
    if serving.hsts:
        strict = {"Strict-Transport-Security": [f"max-age={serving.hsts}"]}
        told.append({"handler": "headers", "response": {"set": strict}})
    return [{"handle": told}]


def _authority(site: Site, serving: Serving) -> list[dict[str, Any]]:
    """The authority's certificate, which is nobody's secret."""
    if not (path := serving.authority):
        return []
    headers = {"Content-Type": ["application/x-x509-ca-cert"]}
    return [
        {
            "match": [{"path": [f"{site.base_url}hubwright/{path.name}"]}],
            "terminal": True,
            "handle": [
                {"handler": "headers", "response": {"deferred": True, "set": headers}},
                {"handler": "rewrite", "uri": f"/{path.name}"},
                {"handler": "file_server", "root": str(path.parent), "index_names": []},
            ],
        }
    ]


def _server(descriptor: int, routes: list[Any], errors: list[Any]) -> dict[str, Any]:
    return {
        "listen": [f"fd/{descriptor}"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "read_header_timeout": "30s",
        "max_header_bytes": _HEADERS,
        "idle_timeout": "10m",
        "routes": routes,
        "errors": {"routes": errors},
    }


def _table(site: Site, proxied: bool) -> dict[str, Any]:
    """Users and services with a route. The matchers of one set run in any order, so the search is nested."""
    folder = "{http.regexp.route.1}@{http.regexp.route.2}"
    return {
        "match": [_escaped(route_pattern(site.base_url), "route")],
        "handle": [
            {
                "handler": "subroute",
                "routes": [
                    _found(site, f"{folder}@{{http.regexp.route.3}}", proxied),
                    _found(site, folder, proxied),
                ],
            }
        ],
    }


def _found(site: Site, folder: str, proxied: bool) -> dict[str, Any]:
    """Forward to the target that lies in `folder`.

    With `first_exist_fallback` the last pattern's first match is taken without another look at the file, which
    might just have been renamed.
    """
    file = {"root": str(check_root(site.routes)), "try_files": [f"{folder}/*:*"], "try_policy": "first_exist_fallback"}
    found = "{http.matchers.file.relative}"
    return {
        "match": [{"file": file}],
        "terminal": True,
        "handle": [
            {
                "handler": "subroute",
                "routes": [
                    {
                        "match": [{"vars_regexp": {found: {"name": "target", "pattern": "/unix:([0-9a-z_-]+)$"}}}],
                        "handle": [
                            _forward(site, f"unix/{site.servers}/{{http.regexp.target.1}}/http.sock", proxied=proxied)
                        ],
                    },
                    {
                        "match": [{"vars_regexp": {found: {"name": "target", "pattern": "/tcp:([^/]+)$"}}}],
                        "handle": [_forward(site, "{http.regexp.target.1}", proxied=proxied)],
                    },
                    {"handle": [{"handler": "error", "status_code": "503"}]},
                ],
            }
        ],
    }


def _forward(site: Site, dial: str, *, internal: bool = False, proxied: bool = False, **more: Any) -> dict[str, Any]:
    """Forward to `dial`; what comes from outside came by HTTPS when the public address says so.

    With `proxied` the client is the one that a proxy names, where it is believed; Tornado takes the last of several.
    """
    request: dict[str, Any] = {"delete": _NOT_TRUSTED}
    told = {"X-Forwarded-Proto": ["https"]} if site.public_url.startswith("https:") and not internal else {}
    if proxied:
        told["X-Forwarded-For"] = ["{http.vars.client_ip}"]
    if told:
        request["set"] = told
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
        "transport": _TRANSPORT,
        "flush_interval": "20ms",
        "stream_close_delay": _FOR_EVER,
        "headers": {"request": request, "response": {"delete": _KEPT_BACK}},
        **more,
    }


def _hub(site: Site, *, internal: bool = False, proxied: bool = False) -> dict[str, Any]:
    """Forward to the hub; while it does not listen, keep trying. What it has begun to read is not sent twice.

    Only GET would be repeated after a connection broke, which Caddy's default `retry_match` says as well.
    """
    waiting = {"try_duration": "30s", "try_interval": "100ms"}
    more = {"transport": _ONCE, "load_balancing": waiting}
    handle = _forward(site, f"unix/{site.hub_socket}", internal=internal, proxied=proxied, **more)
    return {"terminal": True, "handle": [handle]}


def _lab(site: Site) -> dict[str, Any]:
    """JupyterLab's own files: their address holds their hash, so a browser asks once."""
    headers = {
        "deferred": True,
        "require": {"status_code": [2, 304]},
        "set": {"Cache-Control": ["public, max-age=31536000, immutable"], "X-Content-Type-Options": ["nosniff"]},
    }
    return {
        "match": [{"path": [f"{site.base_url}hubwright/lab/*"]}],
        "terminal": True,
        "handle": [
            {"handler": "headers", "response": headers},
            {"handler": "rewrite", "strip_path_prefix": f"{site.base_url}hubwright"},
            {
                "handler": "file_server",
                "root": str(site.static),
                "index_names": [],
                "canonical_uris": False,
                "precompressed": {"gzip": {}},
            },
        ],
    }


def _hints(base: str, scripts: Sequence[str]) -> list[dict[str, Any]]:
    """Tell a browser early what JupyterLab loads: its own page at once, the hub's pages when nothing else is to do.

    Scripts that are not cached yet are then not waited for one by one, and those that are come from the disk at once.
    """
    if not scripts:
        return []
    lab = {"path_regexp": {"pattern": f"^{re.escape(base)}user/[^/]+/([^/]+/)?lab(/(tree|doc|workspaces)/.*)?$"}}
    return [
        {"match": [{**lab, "method": ["GET"]}], "handle": [_link(scripts, "preload")]},
        {"match": [{"path": [f"{base}hub/*"], "method": ["GET"]}], "handle": [_link(scripts, "prefetch")]},
    ]


def _link(scripts: Sequence[str], relation: str) -> dict[str, Any]:
    """Add a Link header (RFC 8288) to a page; nothing but pages has use for it."""
    value = ", ".join(f"<{script}>; rel={relation}; as=script" for script in scripts)
    page = {"status_code": [200], "headers": {"Content-Type": ["text/html*"]}}
    return {"handler": "headers", "response": {"deferred": True, "require": page, "add": {"Link": [value]}}}


def _errors(base: str) -> list[dict[str, Any]]:
    failed = {"expression": "{http.error.status_code} >= 502"}
    return [
        {
            "match": [{**_escaped(route_pattern(base), "failed"), **failed}],
            "terminal": True,
            "handle": [_answer(503, server_silent(base), html=True)],
        },
        {"match": [failed], "terminal": True, "handle": [_answer(503, hub_silent(base), html=True)]},
        {"handle": [_answer("{http.error.status_code}", "{http.error.status_code} {http.error.status_text}\n")]},
    ]


def _answer(status: int | str, body: str, *, html: bool = False) -> dict[str, Any]:
    headers = {
        "Content-Type": [f"text/{'html' if html else 'plain'}; charset=utf-8"],
        "Cache-Control": ["no-store"],
    }
    if html:
        headers["Content-Security-Policy"] = ["default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"]
    return {"handler": "static_response", "status_code": str(status), "headers": headers, "body": body}


def _escaped(pattern: str, name: str) -> dict[str, Any]:
    return {"vars_regexp": {_PATH: {"name": name, "pattern": pattern}}}


def _uri(pattern: str) -> dict[str, Any]:
    return {"vars_regexp": {"{http.request.uri}": {"name": "uri", "pattern": pattern}}}


def _log() -> dict[str, Any]:
    """Warnings and errors to stderr, without what a request may hold in secret: headers, and a token in the address."""
    hidden = {"filter": "query", "actions": [{"type": "replace", "parameter": "token", "value": "..."}]}
    fields = {"request>uri": hidden, "request>headers": {"filter": "delete"}}
    return {
        "level": "WARN",
        "writer": {"output": "stderr"},
        "encoder": {"format": "filter", "wrap": {"format": "json", "time_format": "rfc3339"}, "fields": fields},
    }
