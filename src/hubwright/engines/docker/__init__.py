"""Notebook servers in Docker containers on this machine, each as its user's Unix account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubwright.engines.docker.config import Config
from hubwright.errors import HubwrightError, Problem
from hubwright.fields import Site, instance_of
from hubwright.profiles.config import Profiles

NAME = "docker"
USAGE = "hubwright.engines.docker.usage"


def check(config: Config, site: Site) -> list[Problem]:
    """Return what keeps containers from being made: Docker's client, the daemon, its settings, the image."""
    where = "hub.yaml engine"
    if (config.cap.cpu or config.cap.memory) and not site.privileged:
        return [Problem(f"{where}.cap", "a cap for all containers needs root.", "Start it as root, or leave it out.")]
    try:
        from hubwright.engines.docker import daemon, images, sources
    except ImportError as error:
        return [Problem(where, f"the package {error.name} is missing.", 'Install it: pip install "hubwright[docker]".')]
    found = sources.problems(config.volumes, config.home, where) if site.privileged else []
    try:
        info = daemon.ask(config.socket, "info")
        path = Path(config.socket.removeprefix("unix://"))
        if site.privileged and not path.stat().st_gid:
            what = f"Docker's socket {path} belongs to no group but root's, so that the hub cannot use it."
            found.append(Problem(f"{where}.socket", what, 'Give it one: "group": "docker" in /etc/docker/daemon.json.'))
        for option in info.get("SecurityOptions") or ():
            if option in ("name=userns", "name=rootless"):
                what = f"this Docker gives containers other user ids than the machine's ({option.partition('=')[2]})."
                found.append(Problem(f"{where}.socket", what, "Homes need the same ids: use a Docker without it."))
        if not info.get("LiveRestoreEnabled"):
            what = "Docker ends all containers when it restarts, and so all notebooks."
            remedy = 'Write "live-restore": true into /etc/docker/daemon.json.'
            found.append(Problem(where, what, remedy, "warning"))
        if images.find(config.socket, config.image) is None and config.pull == "never":
            found.append(_warning(images.missing(config.image), f"{where}.image"))
    except HubwrightError as error:
        # the service waits for a daemon that is just being started, and then says so
        found.append(_warning(error, f"{where}.socket"))
    return found


def check_profiles(config: Config, profiles: Profiles, site: Site) -> list[Problem]:
    """Return what of `profiles` no container could be given here: disk, GPUs, folders."""
    where = "hub.yaml profiles"
    try:
        from hubwright.engines.docker import disk, sources
    except ImportError:
        return []  # `check` says it
    found: list[Problem] = []
    if site.privileged:
        for name, entry in profiles.entries().items():
            found += sources.problems(entry.volumes or (), entry.home, f"{where}.{name}")
    found += config.too_many(profiles)
    held = [name for name, size in profiles.sizes.items() if size.disk]
    try:
        why = disk.missing(config.socket) if held else ""
    except HubwrightError:
        return found  # `check` says it
    for name in held if why else ():
        found.append(Problem(f"{where}.sizes.{name}.disk", f"cannot be held: {why}.", "Leave it out."))
    return found


def check_environments(config: Config, profiles: Profiles | None, site: Site) -> list[Problem]:
    """Return which shared environments do not work in which images, as far as both are here."""
    try:
        from hubwright.engines.docker import environments, ground
    except ImportError:
        return []  # `check` says it
    return environments.problems(config, ground.wanted(config, profiles), site)


def check_collaboration(config: Config, profiles: Profiles | None, site: Site) -> list[Problem]:
    """Return what keeps groups from having servers of their own here; the caller says where hub.yaml wants them."""
    if not site.privileged:
        return [Problem("", "needs root: without it there is one user.", "Leave it out.")]
    try:
        from hubwright.engines.docker import ground, images
    except ImportError:
        return []  # `check` says it
    told = []
    for name in ground.wanted(config, profiles):
        try:
            found = images.find(config.socket, name)
        except HubwrightError:
            break  # `check` says it
        if found and not images.serves_groups(found):
            what = f"needs Hubwright's own image, and {name} does not say that it is: a group's server does not start."
            told.append(Problem("", what, "images/singleuser/README.md says how to build it.", "warning"))
    return told


def configure(config: Config, site: Site, c: dict[str, dict[str, Any]]) -> None:
    """Write the JupyterHub settings of this kind into `c`."""
    config.configure_hub("hubwright.engines.docker.spawner.ContainerSpawner", c)
    c.setdefault("ContainerSpawner", {}).update(
        engine=config.model_dump(mode="json"),
        # the spawner holds both itself, and says what it waited for
        start_timeout=int(config.start_timeout + config.pull_timeout + 60),
    )


def groups(config: Config) -> tuple[int, ...]:
    """Return the groups that the hub needs besides its own: the one that may use Docker."""
    try:
        return (Path(config.socket.removeprefix("unix://")).stat().st_gid,)
    except OSError:
        return ()


def prepare(
    config: Config,
    profiles: Profiles | None,
    site: Site,
    say: Callable[[str], object],
    wait: Callable[[str], object],
) -> None:
    """Make ready what containers need, images included; see `ground.prepare`."""
    from hubwright.engines.docker import ground

    ground.prepare(config, profiles, site, say, wait)


def count(config: Config, site: Site) -> int:
    """Return how many servers run."""
    from hubwright.engines.docker import listing

    return sum(one.running for one in listing.containers(config.socket, instance_of(site.state)))


def end_all(config: Config, site: Site, grace: float) -> int:
    """Stop and remove every container, with `grace` seconds for each, and their network; return how many are left."""
    from hubwright.engines.docker import listing

    instance = instance_of(site.state)
    left = len(listing.remove(config.socket, listing.containers(config.socket, instance), grace))
    if not left:
        listing.remove_network(config.socket, instance)
    return left


def _warning(error: HubwrightError, where: str) -> Problem:
    return Problem(where, error.problem.what, error.problem.remedy, "warning")
