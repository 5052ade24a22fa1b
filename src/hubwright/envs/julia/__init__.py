"""Julia, with packages that are precompiled once and read by all; people's own come on top."""

from __future__ import annotations

from pathlib import Path

from hubwright.envs import Made, Tell, Wanted
from hubwright.envs.julia.config import Config
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "julia"


def check(config: Config, site: Site) -> list[Problem]:
    """Return what is missing: Julia, folders of packages, a compiler for the image."""
    from hubwright.envs.julia import inputs

    return inputs.check(config, site)


def sources(config: Config, site: Site) -> dict[str, str]:
    """Return what tells the folders of packages, the archive and the warm-up from others."""
    from hubwright.envs.julia import inputs

    return inputs.sources(config, site)


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Make the environment."""
    from hubwright.envs.julia import build

    return build.make(config, wanted, tell)


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Return Project.toml and Manifest.toml of what would be installed now."""
    from hubwright.envs.julia import build

    return build.lock(config, site, cache, tell)
