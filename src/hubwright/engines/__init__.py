"""Where notebook servers run, a folder each."""

from __future__ import annotations

from hubwright.kinds import Family

KINDS = {
    "local": "hubwright.engines.local",
}
FAMILY = Family(section="engine", kinds=KINDS, default="local", group="hubwright.engines")
