"""Answers that JupyterLab asks every server for while a notebook opens, and that are the same for all: made once."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.services.nbconvert.handlers import NbconvertRootHandler
from jupyter_server.utils import url_path_join
from nbconvert.exporters import base
from tornado.web import authenticated

from hubwright.engines.local.installed import INSTALLED

_GROUP = "nbconvert.exporters"


class Exporters:
    """What nbconvert can export to, as far as everybody has it."""

    def __init__(self) -> None:
        self.offered: frozenset[tuple[str, str]] = frozenset()
        self.answer = ""

    def prepare(self) -> None:
        """Ask each exporter for its type of file; once, in the fork server, when what is installed has been read.

        nbconvert reads what is installed anew for each exporter, and makes each once more for a list of names.
        """
        base.entry_points = INSTALLED.entry_points  # type: ignore[assignment, attr-defined]
        self.offered = _offered()
        kinds = {}
        for name in sorted({name for name, _ in self.offered}):
            try:
                exporter: Any = base.get_exporter(name)  # type: ignore[no-untyped-call]
            except ValueError:  # not enabled
                continue
            kinds[name] = {"output_mimetype": exporter.output_mimetype}
        self.answer = json.dumps(kinds)

    def known(self, config: Any) -> bool:
        """Whether the answer is a user's, too: he installed none of his own, and `config` says nothing of exporters."""
        return bool(self.answer) and _offered() == self.offered and not any("Export" in name for name in config)


EXPORTERS = Exporters()


class KnownExporters(NbconvertRootHandler):
    """`/api/nbconvert`, without making each exporter twice, which took a tenth of a second of the server's time."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the exporters and their types, as NbconvertRootHandler does."""
        if EXPORTERS.known(self.config):
            self.finish(EXPORTERS.answer)
        else:
            await super().get()


def install(web_app: Any) -> None:
    """Put these answers before those that jupyter_server would make."""
    web_app.add_handlers(".*$", [(url_path_join(web_app.settings["base_url"], "/api/nbconvert"), KnownExporters)])


def _offered() -> frozenset[tuple[str, str]]:
    return frozenset((one.name, one.value) for one in INSTALLED.entry_points(group=_GROUP))
