"""What the hub and the fork server both say of a server's page.

The names stand in `site.page` for what is somebody's own; nothing in them has to be escaped.
"""

from __future__ import annotations

import json

from hubwright.fields import Site

USER = "hubwright-page-user"
SERVER = "hubwright-page-server"
PREFIX = "/hubwright-page-prefix/"
"""The path of the server: `/user/NAME/` or `/user/NAME/SERVER/`."""
PATH = "hubwright-page-path"
"""The file that is opened, from the home."""
HOME = "/hubwright-page-home"


def arguments(site: Site) -> list[str]:
    """Return what every server is told by the hub; JupyterLab's core files come from Caddy, one address for all."""
    shared = json.loads((site.run / "lab.json").read_bytes())["static_url"]
    settings = [f"--LabApp.override_static_url={shared}"]
    if site.privileged:  # users cannot write the environment; a manager that could not install costs 10 MB
        settings.append("--LabApp.extension_manager=readonly")
    return settings
