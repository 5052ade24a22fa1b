"""How people's browsers come, for a plan: what of it lasts, what ends, and what would be another at the next start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubwright.config.load import Loaded
from hubwright.fields import Site
from hubwright.proxy.https import https_of
from hubwright.proxy.serving import host_of

if TYPE_CHECKING:
    from hubwright.proxy.https.certificate import Pair


@dataclass(frozen=True)
class Encryption:
    """How a service is encrypted, as hub.yaml says it, and with which certificate now."""

    kind: str
    names: tuple[str, ...]
    """Whom the certificate in use is for; without one, whom it would be for."""
    ends: str | None
    """The day on which the certificate in use ends; None while there is none."""

    def __str__(self) -> str:
        if self.kind in {"none", "behind_proxy"}:
            where = "by the proxy before it" if self.kind == "behind_proxy" else "by nobody"
            return f"https: {self.kind}. Connections are encrypted {where}."
        whose = f"for {', '.join(self.names)}"
        if self.ends is None:
            return f"https: {self.kind}, {whose}. There is no certificate yet: the next start brings it."
        return f"https: {self.kind}, {whose}. The certificate ends on {self.ends}."

    def plain(self) -> dict[str, Any]:
        """Return it such as JSON holds it."""
        return {"kind": self.kind, "names": list(self.names), "ends": self.ends}


def encryption(loaded: Loaded, site: Site) -> Encryption:
    """Return how the service of `loaded` is encrypted; looks at files only."""
    from hubwright.proxy.https.certificate import deployed, fetched

    kind = loaded.hub.https.kind
    if not https_of(loaded.hub.https).ENCRYPTS:
        return Encryption(kind, (), None)
    found: Pair | None = fetched(site) if kind == "acme" else deployed(site)
    if found is None:
        more = getattr(loaded.hub.https, "names", ())
        return Encryption(kind, tuple(dict.fromkeys((host_of(site.public_url), *more))), None)
    return Encryption(kind, found.names, f"{found.until:%Y-%m-%d}")
