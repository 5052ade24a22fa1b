"""Notebook servers on this machine, forked from a process that has imported everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubwright.engines.local.config import Config
from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.profiles.config import USERNAME, Profiles

_HOME = f"/home/{USERNAME}"
"""Where accounts have their homes, unless somebody moved them."""
NAME = "local"
USAGE = "hubwright.engines.local.usage"


def check(config: Config, site: Site) -> list[Problem]:
    """Return which limits cannot hold on this machine, and who cannot be served."""
    from hubwright.machine import cgroups

    limits = cgroups.Limits(config.memory, config.cpu, config.processes)
    if config.merge_memory and not site.privileged:
        return [Problem("hub.yaml engine.merge_memory", "needs root: without it there is one user.", "Leave it out.")]
    if not site.privileged and limits.wanted:
        what = "limits need root: without it there is one user, and nothing that could hold them."
        return [Problem("hub.yaml engine", what, "Start it as root, or leave memory, cpu and processes out.")]
    if site.privileged and (missing := cgroups.find("hubwright").missing(limits)):
        return [Problem("hub.yaml engine", f"{missing}.", "Leave that limit out, or turn the controller on.")]
    return [] if config.gpus is None else _gpu_problems(config, site)


def _gpu_problems(config: Config, site: Site) -> list[Problem]:
    from hubwright.engines.local import gpus

    where = "hub.yaml engine.gpus"
    if not site.privileged:
        return [Problem(where, "needs root: without it servers see what their user may open.", "Leave it out.")]
    why = gpus.problems(config.gpus or ())
    return [Problem(where, f"{why}.", "Leave it out, or use `kind: docker`.")] if why else []


def check_profiles(config: Config, profiles: Profiles, site: Site) -> list[Problem]:
    """Return what of `profiles` cannot hold on this machine."""
    from hubwright.machine import cgroups

    if not site.privileged:
        what = "needs root: without it there is one user, and nothing that could hold sizes."
        return [Problem("hub.yaml profiles", what, "Start it as root, or leave the section out.")]
    found: list[Problem] = []
    for name, size in profiles.sizes.items():
        if size.disk is not None:  # what a forked server writes is its account's, like what a login writes
            what = "cannot be held by the local engine: nobody could start a server of this size."
            remedy = "Leave it out: people.quota limits what an account may fill; `kind: docker` limits each server."
            found.append(Problem(f"hub.yaml profiles.sizes.{name}.disk", what, remedy))
    found += config.too_many(profiles)
    if config.gpus is None and any(size.gpu for size in profiles.sizes.values()):
        found += _gpu_problems(config, site)
    counted = any(size.processes for size in profiles.sizes.values())
    limits = cgroups.Limits(1, 1.0, 1 if counted else None)
    if missing := cgroups.find("hubwright").missing(limits):
        found.append(Problem("hub.yaml profiles", f"{missing}.", "Turn the controller on."))
    return [*found, *_without_effect(profiles)]


def check_collaboration(config: Config, profiles: Profiles | None, site: Site) -> list[Problem]:
    """Return what keeps groups from having servers of their own here; the caller says where hub.yaml wants them."""
    from hubwright.engines.local import collaboration

    if not site.privileged:
        return [Problem("", "needs root: without it there is one user.", "Leave it out.")]
    if collaboration.is_installed(site.prefix):
        return []
    what = "needs jupyter-collaboration, which is not installed: the group's server does not start."
    return [Problem("", what, '"hubwright apply" installs it.', "warning")]


def _without_effect(profiles: Profiles) -> Iterator[Problem]:
    """Yield a warning each for what of `profiles` is about containers, and so does nothing here."""
    where = "hub.yaml profiles"
    if profiles.images:
        what = "are for containers: with the local engine nobody is offered one, or may ask for one."
        yield Problem(f"{where}.images", what, "Leave them out, or name what people need in environments.", "warning")
    for name, entry in profiles.entries().items():
        if entry.home not in (None, _HOME):
            what = "is for containers: with the local engine everybody has the account's own home."
            yield Problem(f"{where}.{name}.home", what, "Leave it out, or change the accounts' homes.", "warning")
        if entry.volumes:
            what = "are for containers: with the local engine people see the machine's folders where they are."
            yield Problem(f"{where}.{name}.volumes", what, "Leave them out, or make links.", "warning")


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]]) -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    config.configure_hub("hubwright.engines.local.spawner.ForkSpawner", c)
    c.setdefault("ForkSpawner", {}).update(memory=config.memory, cpu=config.cpu, processes=config.processes)
    if config.gpus is not None:
        c["ForkSpawner"]["gpus_named"] = list(config.gpus)
