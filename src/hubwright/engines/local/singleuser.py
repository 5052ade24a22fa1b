"""JupyterHub's part of a user's server, without the questions whose answers are known while it starts."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

from aiohttp import ThreadedResolver
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from traitlets.config import Config

from hubwright.engines.local import settings, visitors


class SingleUser(JupyterHubSingleUser):
    """Asks the hub nothing while it starts: of sixty servers that start at once each would wait for the hub's answers.

    Hub and server are forked from one environment, so their versions agree; and a server that the hub has just
    started needs not tell it that it is active.
    """

    @classmethod
    def get_extension_package(cls) -> str:
        """Return the module that jupyter_server finds this class in."""
        return __name__

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Take what is left of the server's command line."""
        if argv is None or not settings.parse(self, argv):
            super().parse_command_line(argv)

    def load_config_file(self) -> None:
        """Tell JupyterHub's client the server's path, which it takes from the environment when it is imported.

        That was before the fork: it would set cookies for all paths, and a browser send one server's to every other.
        """
        self.config.HubAuth.base_url = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
        super().load_config_file()
        ours = Config({"ServerApp": {"identity_provider_class": visitors.IdentityProvider}})
        self.config.merge(ours)
        self.serverapp.update_config(ours)

    def initialize(self, args: Any = None) -> None:
        """Mark the cookie against forged requests as the hub has the others marked; JupyterHub leaves it as it is."""
        super().initialize(args)
        told = self.serverapp.web_app.settings
        options = self.serverapp.identity_provider.hub_auth.cookie_options
        told["xsrf_cookie_kwargs"] = {**options, **told.get("xsrf_cookie_kwargs", {})}

    async def check_hub_version(self) -> None:
        """Ask nothing: there is one version only. Spare the client a DNS client, which a Unix socket does not need."""
        JupyterHubHTTPClient.loop_instance().connector_options = {"resolver": ThreadedResolver()}

    async def keep_activity_updated(self) -> None:
        """Report activity regularly, for the first time when some has passed; the servers do not come together."""
        await asyncio.sleep(self.hub_activity_interval * random.uniform(0.5, 1))  # noqa: S311 (it keeps no secret)
        await super().keep_activity_updated()


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": __name__, "app": SingleUser}]
