"""What the running service was made from, noted by the keeper: `install` sees by it whether anything has changed."""

from __future__ import annotations

import json
from hashlib import sha256

from hubwright.care.programs import package_fingerprint
from hubwright.care.units.describe import units
from hubwright.config.load import Loaded
from hubwright.fields import Site
from hubwright.machine.files import write_atomically

_FILE = "made-from.json"


def note_inputs(loaded: Loaded, site: Site) -> None:
    """Write down what is being served."""
    write_atomically(site.run / _FILE, _inputs(loaded, site), 0o600, durable=False)


def are_served(loaded: Loaded, site: Site) -> bool:
    """Whether the keeper that started last did so from the same hub.yaml, package and units."""
    try:
        return (site.run / _FILE).read_text() == _inputs(loaded, site)
    except OSError:
        return False


def _inputs(loaded: Loaded, site: Site) -> str:
    told = [package_fingerprint(site.prefix), loaded.hub.model_dump(mode="json"), units(loaded, site)]
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
