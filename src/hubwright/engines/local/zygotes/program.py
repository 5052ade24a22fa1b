"""A zygote: imports what an environment's kernels want imported, and forks them; run as a file by that environment.

Of Hubwright it has only the few modules that it works with, and not in a place where an import would find them.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

_PACKAGES = (
    "hubwright",
    "hubwright.machine",
    "hubwright.engines",
    "hubwright.engines.local",
    "hubwright.engines.local.zygotes",
)


def lend() -> None:
    """Let modules of Hubwright be imported, without what their packages import."""
    root = Path(__file__).resolve().parents[4]
    for name in _PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = package


def take_back() -> None:
    """Let an import find no module of Hubwright any more."""
    for name in [name for name in sys.modules if name.split(".")[0] == "hubwright"]:
        del sys.modules[name]


def main() -> None:
    """Import, and serve until the keeper is gone."""
    del sys.path[0]  # this file's folder
    lend()
    from hubwright.engines.local.zygotes import zygote

    wanted = zygote.Wanted(**json.loads(sys.argv[1]))
    channel = zygote.connect()
    lent = zygote.load(wanted, channel, then=take_back)
    zygote.Zygote(channel, wanted, lent).serve()


if __name__ == "__main__":
    main()
