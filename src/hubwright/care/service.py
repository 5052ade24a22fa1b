"""A real service: what its parts read is written, what it needs is checked."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from hubwright import proxy
from hubwright.auth import FAMILY as AUTH
from hubwright.care import content, environments
from hubwright.care.ground import make_servers_folder, write_file
from hubwright.care.listeners import INTERNAL, PUBLIC, REDIRECT
from hubwright.care.part import Part
from hubwright.care.programs import (
    METRICS_FILE,
    PRELOAD_FILE,
    ROSTER_FILE,
    ZYGOTES_FILE,
    has_zygotes,
    is_watched,
    programs,
    status,
)
from hubwright.care.renewal import Renewal
from hubwright.care.supervise import CADDY, FORK_SERVER, HUB, METRICS, ROSTER, ZYGOTES, Notebooks, Service
from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.content import who
from hubwright.engines import FAMILY as ENGINES
from hubwright.engines import hosted
from hubwright.envs import preloaded
from hubwright.errors import ConfigError, HubwrightError, Problem
from hubwright.fields import Site
from hubwright.hub import compile as compiled
from hubwright.hub.contents import contents
from hubwright.hub.pages import branding
from hubwright.machine import delegate, site_file
from hubwright.machine.policy import Policy
from hubwright.people import accounts
from hubwright.proxy import apex
from hubwright.proxy.https import https_of

INHERITED = proxy.Descriptors(PUBLIC, INTERNAL, REDIRECT)
"""Under which numbers Caddy gets its sockets from `supervise.up`."""


def compose(
    loaded: Loaded,
    site: Site,
    voice: Voice,
    opened: Callable[[Site], None],
    listeners: proxy.Descriptors = INHERITED,
) -> Service:
    """Return the service of `loaded` at `site`, for `supervise.up`; `opened` is called when its page answers.

    `ConfigError` when browsers could not come: that is tried out before anything listens.
    """
    kind = https_of(loaded.hub.https)
    _refuse(loaded, kind.check(loaded.hub.https, site))
    renewal = Renewal(loaded, voice)
    return Service(
        parts=lambda site: _parts(loaded, site, voice, renewal, listeners),
        answers=lambda site: page_answers(site, encrypted=kind.ENCRYPTS),
        opened=opened,
        notebooks=_notebooks(loaded),
        redirect=kind.serving(loaded.hub.https, site).redirect,
        clear=lambda site: _clear(site, voice),
        ask=renewal.ask,
        tend=renewal.step,
    )


def _notebooks(loaded: Loaded) -> Notebooks | None:
    engine = loaded.hub.engine
    if (elsewhere := hosted(engine)) is None:
        return None
    return Notebooks(
        lambda site: elsewhere.count(engine, site), lambda site, grace: elsewhere.end_all(engine, site, grace)
    )


def _clear(site: Site, voice: Voice) -> None:
    """Remove the control groups of a service that was stopped; only root has any."""
    name = f"hubwright-{site.run.name}"
    if site.privileged and not delegate.clear(name):
        voice.warn(f"Not all control groups of the notebooks could be removed; see {name} below /sys/fs/cgroup.")


def check(loaded: Loaded, site: Site) -> None:
    """Raise `ConfigError` with everything in hub.yaml that cannot hold on this machine."""
    hub = loaded.hub
    found = [*AUTH.of(hub.auth).check(hub.auth, site), *ENGINES.of(hub.engine).check(hub.engine, site)]
    found += [*https_of(hub.https).check(hub.https, site), *apex.check(hub.static, site)]
    found += [*branding.check(hub.hub, site, date.today()), *proxy.check(hub.extra)]
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
        return status(connection, f"{site.base_url}hub/login") < 400
    except (OSError, http.client.HTTPException):
        return False


def _parts(loaded: Loaded, site: Site, voice: Voice, renewal: Renewal, listeners: proxy.Descriptors) -> list[Part]:
    """Write what the parts read, and return them in the order in which they are started."""
    check(loaded, site)
    hub = loaded.hub
    renewal.begin(site)
    site_file.save(site, site.run / "site.json")
    policy = compiled.policy(hub, site)
    write_file(site, "policy.json", policy)
    told: dict[str, str] = {}
    environments.prepare(hub.environments, site, voice)
    content.prepare(loaded, site, voice)
    handed = write_file(site, who.FILE, contents(hub), for_hub_only=True)
    elsewhere = hosted(hub.engine)
    if elsewhere is None:
        make_servers_folder(site)
        merge = getattr(hub.engine, "merge_memory", False)
        wishes = {"preload": list(preloaded(hub.environments)), "merge_memory": merge}
        told[FORK_SERVER] = write_file(site, PRELOAD_FILE, wishes)
    else:
        (site.run / PRELOAD_FILE).unlink(missing_ok=True)
        elsewhere.prepare(hub.engine, hub.profiles, site, voice.warn, voice.wait)
    static = proxy.publish(site.prefix, site, voice.wait)
    voice.wait("")
    _tell_static(site, static)
    told[HUB] = write_file(site, "hub.json", compiled.compile(hub, site), for_hub_only=True) + handed
    scripts = [static + name for name in proxy.first_scripts(site.prefix)]
    serving = replace(https_of(hub.https).serving(hub.https, site), apex=apex.apex_of(hub.static, site))
    described = proxy.configuration(site, listeners, serving, scripts)
    told[CADDY] = write_file(site, "caddy.json", described, for_hub_only=True)
    if site.privileged:
        _make_accounts(hub.people.users, policy, voice)
    if hub.metrics.enabled:
        told[METRICS] = write_file(site, METRICS_FILE, compiled.metrics(hub))
    else:
        (site.run / METRICS_FILE).unlink(missing_ok=True)
    if is_watched(loaded, site):
        told[ROSTER] = write_file(site, ROSTER_FILE, hub.people.model_dump(mode="json")) + told[HUB]
    else:
        (site.run / ROSTER_FILE).unlink(missing_ok=True)
    if has_zygotes(loaded, site):
        told[ZYGOTES] = write_file(site, ZYGOTES_FILE, {"here": str(site.environments)})
    else:
        (site.run / ZYGOTES_FILE).unlink(missing_ok=True)
    return programs(loaded, site, told, listeners)


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
