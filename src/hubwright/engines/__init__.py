"""Where notebook servers run, a folder each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

from hubwright.fields import Site
from hubwright.kinds import Family, Kind, KindConfig
from hubwright.profiles.config import Profiles

KINDS = {
    "docker": "hubwright.engines.docker",
    "local": "hubwright.engines.local",
}
FAMILY = Family(section="engine", kinds=KINDS, default="local", group="hubwright.engines")


@runtime_checkable
class Hosted(Protocol):
    """What an engine offers beside `Kind` when somebody else than the fork server runs its notebook servers."""

    def groups(self, config: Any) -> tuple[int, ...]:
        """Return ids of groups that the hub needs besides its own."""

    def prepare(
        self,
        config: Any,
        profiles: Profiles | None,
        site: Site,
        say: Callable[[str], object],
        wait: Callable[[str], object],
    ) -> None:
        """Make ready what servers need, before the hub starts; by whoever runs `up`."""

    def count(self, config: Any, site: Site) -> int:
        """Return how many servers run; `HubwrightError` when nobody can say."""

    def end_all(self, config: Any, site: Site, grace: float) -> int:
        """End every server, with `grace` seconds for each; return how many could not be."""


def hosted(config: KindConfig) -> Hosted | None:
    """Return what the engine of a section offers when it does not fork its servers, else None."""
    kind: Kind = FAMILY.of(config)
    return cast(Hosted, kind) if isinstance(kind, Hosted) else None
