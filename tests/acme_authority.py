"""An authority that gives certificates by ACME: a Caddy of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DIRECTORY = "acme/local/directory"
"""The path by which it is asked."""
UNWANTED = "unwanted.test"
"""A name for which it gives none."""


def authority(listen: str, names: list[str], folder: Path) -> dict[str, Any]:
    """Return the configuration of a Caddy that is an authority at `listen`, by HTTPS of its own making for `names`.

    What it keeps is in `folder`, its root in `root_of(folder)`.
    """
    answers = {"handler": "acme_server", "policy": {"deny": {"domains": [UNWANTED]}}}
    server = {
        "listen": [listen],
        "automatic_https": {"disable_redirects": True},
        "routes": [{"match": [{"host": names}], "handle": [answers]}],
    }
    return {
        "admin": {"disabled": True},
        "storage": {"module": "file_system", "root": str(folder)},
        "apps": {
            "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
            "http": {"servers": {"acme": server}},
            "tls": {"automation": {"policies": [{"subjects": names, "issuers": [{"module": "internal"}]}]}},
        },
    }


def root_of(folder: Path) -> Path:
    """Return the file by which it is trusted."""
    return folder / "pki" / "authorities" / "local" / "root.crt"
