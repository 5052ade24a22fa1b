"""Every setting that is compiled exists in the JupyterHub that is installed, and takes the value it is given."""

import json
from pathlib import Path

import pytest
from jupyterhub.auth import Authenticator
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from hubwright.auth.unix_accounts import AccountAuthenticator
from hubwright.engines.granting import GrantingMixin
from hubwright.hub.app import Application

GOLDEN = Path(__file__).parents[2] / "golden"
KNOWN = {cls.__name__: cls for cls in (AccountAuthenticator, Authenticator, GrantingMixin, Proxy, Spawner)}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_setting_exists(path):
    c = json.loads(path.read_text())["jupyterhub"]
    known = KNOWN | {"JupyterHub": Application}
    for setting in ("proxy_class", "spawner_class", "authenticator_class"):
        cls = import_item(c["JupyterHub"][setting])
        known[cls.__name__] = cls
    for name, settings in c.items():
        if path.stem == "extra" and name == "LabApp":
            continue
        traits = known[name].class_traits(config=True)
        assert settings.keys() <= traits.keys(), f"{name} has no {settings.keys() - traits.keys()}"


def test_jupyterhub_takes_the_values():
    c = json.loads((GOLDEN / "extra.json").read_text())["jupyterhub"]["JupyterHub"]
    app = Application(config=Config(JupyterHub=c))
    assert app.base_url == "/"
    assert app.hub_bind_url == c["hub_bind_url"]
    assert app.proxy_class.__name__ == "CaddyProxy"
    assert app.concurrent_spawn_limit == 5
