"""What Jupyter's extensions do in each server as it starts, and what only few users have anything of.

Each is a name in an extension's module that is set to another before the fork; what it answers stays the same.
"""

from __future__ import annotations

from typing import Any

import jupyter_lsp.serverextension
import notebook_shim.nbserver  # type: ignore[import-untyped]
from jupyter_lsp.manager import LanguageServerManager
from traitlets import Any as AnyTrait

_search: Any = jupyter_lsp.serverextension.initialize


def prepare() -> None:
    """Have servers spared; once, in the fork server."""
    jupyter_lsp.serverextension.LanguageServerManager = LateLanguageServers
    jupyter_lsp.serverextension.initialize = _search_later
    notebook_shim.nbserver.diff_members = public_beside


class LateLanguageServers(LanguageServerManager):
    """Looks for language servers when it is first asked for them, which JupyterLab does where they are turned on.

    jupyter_lsp looks each time a server starts, in a thread: 1.2 MB of copied pages, and its memory.
    """

    search = AnyTrait(help="What finds the servers, until it is called.")

    async def ready(self) -> bool:
        """Return once the servers are known."""
        if search := self.search:
            self.search = None
            await search()
        known: bool = await super().ready()
        return known


async def _search_later(server: Any, documents: str) -> None:
    server.language_server_manager.search = lambda: _search(server, documents)


def public_beside(first: Any, second: Any) -> set[str]:
    """Return the public names of `second` that `first` has not.

    notebook_shim asks both objects for what is behind each name, by which a server makes the defaults of all its
    traits: 0.5 MB.
    """
    names = {name for name in dir(second) if not name.startswith("_")}.difference(dir(first))
    return {name for name in names if hasattr(second, name)}
