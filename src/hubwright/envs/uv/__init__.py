"""Python environments of named packages, made with uv."""

from __future__ import annotations

from pathlib import Path

from hubwright.envs import Made, Tell, Wanted
from hubwright.envs.uv.config import Config
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "uv"


def check(config: Config, site: Site) -> list[Problem]:
    """Return what keeps uv from being run, or files that are not there."""
    from hubwright.envs.uv import build

    return build.check(config, site)


def sources(config: Config, site: Site) -> dict[str, str]:
    """Return the text of the file of requirements."""
    from hubwright.envs.uv import build

    return build.sources(config, site)


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Make the environment."""
    from hubwright.envs.uv import build

    return build.make(config, wanted, tell)


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Return every package with version and hash."""
    from hubwright.envs.uv import build

    return build.lock(config, site, cache, tell)
