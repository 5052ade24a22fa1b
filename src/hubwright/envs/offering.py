"""What people are offered: which environments hub.yaml names now, and who may read each."""

from __future__ import annotations

import grp
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubwright.envs import DEFAULT, OFFERED, environment_of, forked, is_built, kernelspec
from hubwright.envs.access import groups_of, let_in
from hubwright.envs.building import source, versions_of
from hubwright.envs.versions import CURRENT
from hubwright.errors import HubwrightError, Problem
from hubwright.fields import Site
from hubwright.kinds import KindConfig
from hubwright.machine.files import weak_component, write_atomically

_ITS_OWN = {"/", "/usr", "/usr/local", "/bin", "/etc", "/home", "/lib", "/opt", "/root", "/run", "/srv", "/var"}
"""What every machine and image has of its own, so that none can be given another's."""


def offer(environments: Mapping[str, Any], site: Site) -> None:
    """Write down which environments there are, and let those in who may see each; as often as one likes.

    Raises:
        MachineError: a group is unknown, or the file system keeps no ACLs where several groups need one.
    """
    built = {name: config for name, config in environments.items() if is_built(config)}
    for folder in (site.environments.parent, site.environments) if built else ():
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, config in built.items():
        let_in(name, config, site)
    if built or (site.environments / OFFERED).exists():
        shown = {name: config.display or ("Python 3" if name == DEFAULT else name) for name, config in built.items()}
        write_atomically(site.environments / OFFERED, json.dumps(shown, indent=1), 0o644)
        told = {name: found for name, text in shown.items() if (found := _served(name, text, built[name], site))}
        write_atomically(site.environments_built, json.dumps(told, indent=1), 0o644)


def _served(name: str, display: str, config: KindConfig, site: Site) -> dict[str, Any] | None:
    """Return what an engine must know of an environment to take it elsewhere; None when it was never built."""
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME  # 0.1 s, of every command

    versions = versions_of(name, site)
    if (current := versions.current()) is None:
        return None
    outside = kernelspec.outside(versions.folder / CURRENT / "kernel")
    groups = groups_of(config) if site.privileged else None
    return {
        "called": NATIVE_KERNEL_NAME if name == DEFAULT else name,
        "display": display,
        "version": current.number,
        "built": current.built,
        "groups": None if groups is None else [grp.getgrnam(group).gr_gid for group in groups],
        "folders": [one for one in outside if _may_be_shown(one, site)],
    }


def _may_be_shown(folder: str, site: Site) -> bool:
    """Whether a container is given a folder besides the environments: packages had a say in which one it is.

    So it is root's, and one that everybody can come to here: in a container the folders above it are not there, which
    may be closed.
    """
    if Path(folder).is_relative_to(site.environments) or folder in _ITS_OWN:
        return False
    return not site.privileged or not weak_component(Path(folder))


def check(environments: Mapping[str, Any], site: Site) -> Iterator[Problem]:
    """Yield what is wrong with each entry, or not yet done."""
    for name, config in environments.items():
        if not is_built(config):
            continue
        found = environment_of(config).check(config, site)
        for problem in found:
            yield Problem(
                f"hub.yaml environments.{name}.{problem.where}", problem.what, problem.remedy, problem.severity
            )
        yield from _unknown_groups(name, config)
        if forked(config) and not site.privileged:
            what = "has no effect where everything runs as one account: kernels are executed."
            yield Problem(f"hub.yaml environments.{name}.preload", what, severity="warning")
        if not any(problem.severity == "error" for problem in found) and (told := to_do(name, config, site)):
            yield Problem(f"hub.yaml environments.{name}", *told, "warning")


def to_build(environments: Mapping[str, Any], site: Site) -> list[str]:
    """Return a sentence for each environment that is not what hub.yaml says, with the command that builds it."""
    found = {name: to_do(name, config, site) for name, config in environments.items() if is_built(config)}
    return [f"The environment {name}: {' '.join(told).rstrip()}" for name, told in found.items() if told]


def to_do(name: str, config: KindConfig, site: Site) -> tuple[str, str] | None:
    """Return why an environment is not what hub.yaml says, and what to do; None when it is."""
    does = f'"hubwright env build {name}" does it.'
    try:
        current = versions_of(name, site).current()
        if current is None:
            return "is not built yet.", does
        return None if current.source == source(name, config, site) else ("has changed since it was built.", does)
    except HubwrightError as error:
        return error.problem.what, error.problem.remedy


def unfinished(name: str, config: KindConfig, site: Site) -> str:
    """Return why an environment is not what hub.yaml says, "" when it is."""
    told = to_do(name, config, site)
    return told[0] if told else ""


def _unknown_groups(name: str, config: KindConfig) -> Iterator[Problem]:
    for group in groups_of(config) or ():
        try:
            grp.getgrnam(group)
        except KeyError:
            yield Problem(f"hub.yaml environments.{name}.allow.groups", f"this machine has no group {group}.")
