"""Whether this machine can run the service that hub.yaml describes; looks only, changes nothing."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from hubwright import proxy
from hubwright.auth import FAMILY as AUTH
from hubwright.auth.allow import parts
from hubwright.auth.ways import is_outside, key_of, listed, ways_of
from hubwright.care import content, ground
from hubwright.care.in_engine import elsewhere
from hubwright.care.people import named as named_people
from hubwright.care.people import teams
from hubwright.care.people.plan import roster_of
from hubwright.care.watch import read_ledger
from hubwright.config.load import Loaded
from hubwright.engines import FAMILY as ENGINES
from hubwright.engines import hosted
from hubwright.envs import offering
from hubwright.errors import ConfigError, HubwrightError, Problem
from hubwright.fields import Site, format_bytes
from hubwright.hub.compile import admins, own, policy
from hubwright.hub.pages import branding
from hubwright.machine import ports
from hubwright.machine.policy import Policy, may_serve
from hubwright.proxy import apex
from hubwright.proxy.https import https_of

LEAST_SPACE = 200 * 2**20
"""Bytes below which the service is not worth starting; it warns below five times as many."""
_TOOLS = ("useradd", "groupadd", "usermod")


def check(loaded: Loaded, site: Site) -> list[Problem]:
    """Return everything that stands in the way of the service, or is worth a look, worst first."""
    found = [*_sections(loaded, site), *_extra(loaded, site), *_people(loaded, site)]
    found += named_people.check(loaded, site)
    found += [*_versions(), *_environment(site), *_port(loaded, site), *_space(site)]
    return sorted(found, key=lambda problem: problem.severity != "error")


def _sections(loaded: Loaded, site: Site) -> Iterator[Problem]:
    for problem in AUTH.of(loaded.hub.auth).check(loaded.hub.auth, site):
        yield loaded.place(problem)
    for problem in ENGINES.of(loaded.hub.engine).check(loaded.hub.engine, site):
        yield loaded.place(problem)
    kind, section = https_of(loaded.hub.https), loaded.hub.https
    for problem in kind.check(section, site):
        yield loaded.place(problem)
    for problem in apex.check(loaded.hub.static, site, lambda host: kind.covers(section, site, host)):
        yield loaded.place(problem)
    yield from _shared_and_shown(loaded, site)
    yield from unseen_in_containers(loaded)
    if loaded.hub.profiles and (check_profiles := getattr(ENGINES.of(loaded.hub.engine), "check_profiles", None)):
        yield from map(loaded.place, check_profiles(loaded.hub.engine, loaded.hub.profiles, site))
    for problem in (*offering.check(loaded.hub.environments, site), *elsewhere(loaded, site)):
        yield loaded.place(problem)
    yield from content.check(loaded, site)
    for problem in (*branding.check(loaded.hub.hub, site, date.today()), *proxy.check(loaded.hub.extra)):
        yield loaded.place(problem)
    try:
        roster = roster_of(loaded, site)
        yield from teams.check(loaded, site, roster.people if roster else ())
    except ConfigError as error:
        yield from error.problems
    if loaded.hub.people.roster and not site.privileged:
        what = "needs root: without it only one person is served."
        yield Problem(loaded.where("people.roster"), what, "Start the service as root, or leave it out.")


def _shared_and_shown(loaded: Loaded, site: Site) -> Iterator[Problem]:
    """Tell of shared folders that everybody on the network would see, since they lie in that of the pages."""
    if loaded.hub.static is None:
        return
    shown = apex.folder_of(loaded.hub.static, site).resolve()
    for shared in loaded.hub.people.shared:
        if Path(shared.folder).resolve().is_relative_to(shown):
            what = f"{shared.folder} lies in {shown}, the pages of `static` that everybody can read."
            yield Problem(loaded.where("people.shared"), what, "Put it elsewhere.")


def unseen_in_containers(loaded: Loaded) -> Iterator[Problem]:
    """Tell of shared folders that nobody finds in his container, since no volume has them."""
    engine, profiles = loaded.hub.engine, loaded.hub.profiles
    volumes = [*getattr(engine, "volumes", ()), *((profiles.default.volumes or ()) if profiles else ())]
    for shared in loaded.hub.people.shared if hosted(engine) else ():
        if not any(Path(shared.folder).is_relative_to(volume.source) for volume in volumes):
            what = f"{shared.folder} is not seen in containers."
            remedy = f"Add it to engine.volumes: {{source: {shared.folder}, target: {shared.folder}, writable: true}}."
            yield Problem(loaded.where("people.shared"), what, remedy, "warning")


def _extra(loaded: Loaded, site: Site) -> Iterator[Problem]:
    ours = own(loaded.hub, site)
    for name, settings in loaded.hub.extra.items():
        for setting in settings:
            what = "is a raw JupyterHub setting, which Hubwright passes on without a check."
            if setting in ours.get(name, {}):
                what = "is a raw JupyterHub setting that changes what Hubwright sets itself."
            yield Problem(loaded.where(f"extra.{name}.{setting}"), what, severity="warning")


def _people(loaded: Loaded, site: Site) -> Iterator[Problem]:
    hub = loaded.hub
    rule = Policy.parse(policy(hub, site))
    named = {"hub.admins": (admins(hub, site), listed(hub.auth).kind)}
    named["people.users"] = (hub.people.users, listed(hub.auth).kind)
    somebody = bool(hub.people.roster or hub.people.users or admins(hub, site))
    for way, section in ways_of(hub.auth).items():
        everybody, allowed, groups = parts(getattr(section, "allow", "nobody"))
        somebody = somebody or bool(everybody or allowed or groups or getattr(section, "admin_groups", ()))
        if is_outside(section):
            continue  # somebody else knows them, and whose account is not here yet
        named[key_of(hub.auth, way, "allow.users")] = (allowed, section.kind)
        for name in groups:
            try:
                grp.getgrnam(name)
            except KeyError:
                where = loaded.where(key_of(hub.auth, way, "allow.groups"))
                yield Problem(where, f"this machine has no group {name}.", severity="warning")
    for where, (names, kind) in named.items():
        for name in names:
            if what := _trouble_with(name, kind, rule, site):
                yield Problem(loaded.where(where), what, severity="warning")
    if not somebody:
        what = "nobody can log in: no admin is named, and nobody is let in."
        yield Problem(loaded.where("auth.allow"), what, "Name admins in hub.admins, or let people in here.", "warning")


def _trouble_with(name: str, kind: str, rule: Policy, site: Site) -> str:
    if not site.privileged:
        return "" if name == site.account else f"without root {name} gets no server: only {site.account} does."
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return f"{name} has no account on this machine yet, and so no password." if kind == "pam" else ""
    member_of = {grp.getgrgid(gid).gr_name for gid in os.getgrouplist(name, entry.pw_gid) if _is_group(gid)}
    refusal = may_serve(rule, entry, member_of)
    return str(refusal) if refusal else ""


def _is_group(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True


def _versions() -> Iterator[Problem]:
    for line in requires("hubwright") or ():
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            found = ""
        if not wanted.specifier.contains(found or "0", prereleases=True) or not found:
            what = f"{found or 'no version'} is installed; Hubwright needs {wanted.specifier or 'one'}."
            yield Problem(f"package {wanted.name}", what, "Install Hubwright anew, into an environment of its own.")


def _environment(site: Site) -> Iterator[Problem]:
    caddy = site.prefix / "bin" / "caddy"
    if not os.access(caddy, os.X_OK):
        yield Problem(str(caddy), "cannot be run, or is not there.", "Install Hubwright anew.")
    if site.privileged:
        for tool in _TOOLS:
            if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
                yield Problem(tool, "is not on this machine.", "Install it: apt install passwd.")
    try:
        ground.check_environment(site)
        warning = ground.check_config(site)
    except HubwrightError as error:
        yield error.problem
    else:
        if warning:
            yield Problem("", warning, severity="warning")


def _port(loaded: Loaded, site: Site) -> Iterator[Problem]:
    if any(process.alive() for process, _ in read_ledger(site.run / "parts.json").values()):
        return  # it is ours
    places = {"hub.listen": site.listen, "https": https_of(loaded.hub.https).serving(loaded.hub.https, site).redirect}
    for setting, address in places.items():
        try:
            if address:
                ports.listen(*address).close()
        except HubwrightError as error:
            yield Problem(loaded.where(setting), error.problem.what, error.problem.remedy)


def _space(site: Site) -> Iterator[Problem]:
    for folder in dict.fromkeys((_existing(site.state), _existing(site.run))):
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Problem(str(folder), "cannot be written by this account.", "Name another folder with --state.")
    place = _existing(site.state)
    free = shutil.disk_usage(place).free
    if free < 5 * LEAST_SPACE:
        what = f"only {format_bytes(free // 2**20 * 2**20 or 1)} are free on the disk of the state folder."
        severe = free < LEAST_SPACE
        yield Problem(
            str(place), what, "Make room, or name another folder with --state.", "error" if severe else "warning"
        )


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
