"""The environment that Hubwright itself is installed in."""

from __future__ import annotations

from hubwright.envs.own.config import Config
from hubwright.errors import Problem
from hubwright.fields import Site

NAME = "own"

__all__ = ["NAME", "Config", "check"]


def check(config: Config, site: Site) -> list[Problem]:
    """Nothing can be missing: it runs this."""
    return []
