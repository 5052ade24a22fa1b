"""Environments when the service starts: what is missing is built, and what hub.yaml names is offered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubwright.care.voice import Voice
from hubwright.envs import DEFAULT, building, is_built, offering, together
from hubwright.envs.own import kernel
from hubwright.errors import HubwrightError
from hubwright.fields import Site


def prepare(environments: Mapping[str, Any], site: Site, voice: Voice) -> None:
    """Build what was never built, say what has changed since, and offer all of it.

    One that cannot be built keeps nobody from the others: it is told, and shown as broken.
    """
    new = {}
    for name, config in environments.items():
        if not is_built(config):
            continue
        if building.versions_of(name, site).current() is None:
            new[name] = config
        elif told := offering.to_do(name, config, site):
            voice.warn(f"environments.{name}: {' '.join(told).rstrip()}")
    for _, done in together.build_all(new, site, voice.wait):
        if isinstance(done, HubwrightError):
            voice.warn(str(done))
    try:
        offering.offer(environments, site)
    except HubwrightError as error:
        voice.warn(str(error))
    if is_built(environments[DEFAULT]):
        return
    try:
        with building.readable():
            building.make_folders(site)
            kernel.keep(site.own_kernel.parent.parent)
    except HubwrightError as error:
        voice.warn(f"People cannot install packages of their own with Hubwright's own Python. {error}")
