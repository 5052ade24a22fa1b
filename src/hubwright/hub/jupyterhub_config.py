"""What `jupyterhub -f` reads: the compiled settings and, from their files, the secrets."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from hubwright.content import who
from hubwright.hub import database, handing
from hubwright.hub.compile import CLI_SERVICE
from hubwright.hub.pages import assets, branding
from hubwright.machine import site_file

database.write_ahead()
c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 (traitlets puts it there)
_site = site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))

for _name, _settings in json.loads((_site.run / "hub.json").read_bytes()).items():
    c[_name].update(_settings)
_words = c.JupyterHub.template_vars
_words["assets"] = assets.address(_site.base_url)
if _message := _words.get("hub_message"):
    _words["hub_message"] = lambda user: branding.message(_message, date.today())
if who.read(_site.run / who.FILE)["contents"]:
    c.Spawner.pre_spawn_hook = handing.before_start
    _words["handed_out"] = True
for _service in c.JupyterHub.services:
    if _service["name"] == CLI_SERVICE:
        _service["api_token"] = (_site.secrets / "cli.token").read_text().strip()
