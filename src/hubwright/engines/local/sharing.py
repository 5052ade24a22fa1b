"""Extensions of JupyterLab from the address that all users share, beside its core files, where they are the same.

A page names one address for all its extensions. It is the shared one as long as every extension is one that was there
when the service started; a user who has installed one of his own gets all of them from his server, as without us.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyterlab_server.config import get_federated_extensions

OWN = Path(__file__).parent / "labextensions"
"""Hubwright's own extension."""
_MARK = "/hubwright/lab/"
_Config = dict[str, Any]


class Sharing:
    """Which extensions lie at the shared address, and which pages take them from there."""

    def __init__(self) -> None:
        self.environment = str(Path(sys.prefix) / "share/jupyter/labextensions")
        self.known: frozenset[tuple[str, str]] = frozenset()

    def prepare(self) -> None:
        """Note the extensions of this environment; once, in the fork server. One that is only linked is not shared."""
        found = get_federated_extensions([str(OWN), self.environment]).values()
        here = [one for one in found if Path(one["ext_path"]).resolve() == Path(one["ext_path"])]
        self.known = frozenset((one["name"], one["jupyterlab"].get("_build", {}).get("load", "")) for one in here)

    def place(self, page: _Config, folders: Sequence[str]) -> _Config:
        """Return the settings of a page, with the shared address if it holds.

        Args:
            page: what JupyterLab's page is told.
            folders: where the server looks for extensions, the first one that has it wins.
        """
        static = str(page.get("fullStaticUrl", ""))
        named = {(one["name"], one["load"]) for one in page.get("federated_extensions", ())}
        if _MARK not in static or not named <= self.known or self._hidden(folders):
            return page
        return page | {"fullLabextensionsUrl": f"{static}/extensions"}

    def _hidden(self, folders: Sequence[str]) -> bool:
        """Whether a folder that is looked into earlier has an extension of the same name."""
        before = folders[: folders.index(self.environment)] if self.environment in folders else folders
        files = (f"{folder}/{name}/package.json" for folder in before for name, _ in self.known)
        return any(os.path.exists(file) for file in files)  # noqa: PTH110 (Path's raises for a folder of root's)


SHARING = Sharing()


def install(settings: dict[str, Any]) -> None:
    """Have JupyterLab's pages placed; a hook that somebody else has set is asked first."""
    before: Callable[[Any, _Config], _Config] | None = settings.get("page_config_hook")

    def hook(handler: Any, page: _Config) -> _Config:
        told = before(handler, page) if before else page
        return SHARING.place(told, handler.extensionapp.labextensions_path)

    settings["page_config_hook"] = hook
