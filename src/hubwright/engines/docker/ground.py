"""What must be there before the first container: Docker itself, folders, network, limits, images; made by `up`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import Any

from hubwright.engines.docker import cap, container, daemon, environments, images, place, sources
from hubwright.engines.docker.config import Config
from hubwright.errors import HubwrightError, NotRunning
from hubwright.fields import Site, instance_of
from hubwright.machine.files import Owner, make_folder
from hubwright.profiles.config import Profiles

_PATIENCE = 60.0
"""Seconds that `up` waits for a daemon that is just being started, as when a machine boots."""


def prepare(
    config: Config,
    profiles: Profiles | None,
    site: Site,
    say: Callable[[str], object],
    wait: Callable[[str], object],
) -> None:
    """Make ready what containers need; an image that cannot be had is told, and keeps nobody else out.

    Args:
        say: told what was done and what could not be.
        wait: told what is waited for; an empty text when it is over.

    Raises:
        NotRunning: Docker does not answer.
        MachineError: the cap cannot be held, or a folder not be made.
    """
    _await_docker(config.socket, wait)
    instance = instance_of(site.state)
    owner = Owner.of(site.account) if site.privileged else None
    if site.privileged:
        # the hub makes the servers' folders here, and like everybody can touch no one else's
        make_folder(site.servers, 0o1771, Owner(0, Owner.of(site.account).gid))
    make_folder(site.run / "images", 0o755, owner)
    _sweep(site)
    place.link_hub(site)
    if site.privileged:
        cap.hold(instance, cap.driver(config.socket), cap.most(config.cap, profiles))
    if config.network is None:
        try:
            daemon.ask(config.socket, "inspect_network", container.network_of(instance))
        except daemon.Missing:
            daemon.ask(config.socket, "create_network", **container.network_config(instance), patience=daemon.PATIENT)
    for name in wanted(config, profiles):
        try:
            have(config, site, name, wait)
        except HubwrightError as error:
            say(str(error))
    for problem in environments.problems(config, wanted(config, profiles), site):
        say(str(problem))
    wait("")


def wanted(config: Config, profiles: Profiles | None) -> tuple[str, ...]:
    """Return every image that a server may be started from."""
    named = [one.image for one in profiles.images.values()] if profiles else []
    return tuple(dict.fromkeys(named or [config.image]))


def have(config: Config, site: Site, name: str, wait: Callable[[str], object], *, anew: bool = False) -> images.Image:
    """Return an image, fetched when engine.pull says so or `anew` is true, and looked into.

    Raises:
        ImageTrouble: there is none, or none that can be used.
    """
    found = images.find(config.socket, name)
    if anew or config.pull == "always" or (found is None and config.pull == "missing"):
        wait(f"Pulling the image {name}")
        try:
            images.pull(
                config.socket,
                name,
                lambda percent: wait(f"Pulling the image {name} ({percent} %)"),
                config.pull_timeout,
            )
        except images.ImageTrouble:
            if anew or found is None:  # else the one that is here will do: its registry may be away
                raise
        found = images.find(config.socket, name)
    if found is None:
        raise images.missing(name)
    wait(f"Looking into the image {name}")
    return look(config, site, name, found)


def look(config: Config, site: Site, name: str, found: dict[str, Any]) -> images.Image:
    """Return what is in an image that is here; see `images.look_into`."""
    shared = sources.settled(container.mounts_of_all(config.volumes), site)
    cache = site.run / "images"  # made when the service is first started
    return images.look_into(config.socket, name, found, cache if os.access(cache, os.W_OK) else None, shared)


def _await_docker(socket: str, wait: Callable[[str], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            daemon.ask(socket, "ping")
            return
        except NotRunning:
            if time.monotonic() >= deadline:
                raise
        wait("Waiting for Docker")
        time.sleep(0.5)


def _sweep(site: Site) -> None:
    """Remove what servers of another engine, or of a user who kept the hub from it, left behind."""
    mine = Owner.of(site.account).uid if site.privileged else os.geteuid()
    for path in site.servers.iterdir():
        if path.name.startswith("gone-") or path.lstat().st_uid != mine:
            shutil.rmtree(path, ignore_errors=True)
