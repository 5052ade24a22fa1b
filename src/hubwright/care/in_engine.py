"""Whether the shared environments work where the engine runs servers.

Apart from the other checks, whose imports take as long as the rest of `hubwright env rollback`.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubwright.config.load import Loaded
from hubwright.engines import FAMILY as ENGINES
from hubwright.engines import hosted
from hubwright.envs import forked
from hubwright.errors import Problem
from hubwright.fields import Site


def elsewhere(loaded: Loaded, site: Site) -> Iterator[Problem]:
    """Yield what of the shared environments does not work where the engine runs servers: in containers, in an image."""
    engine, entries = loaded.hub.engine, loaded.hub.environments
    for name in entries if hosted(engine) else ():
        if forked(entries[name]):
            what = "has no effect in containers: kernels are executed."
            yield Problem(f"hub.yaml environments.{name}.preload", what, severity="warning")
    if tried := getattr(ENGINES.of(engine), "check_environments", None):
        yield from tried(engine, loaded.hub.profiles, site)
