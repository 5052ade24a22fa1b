"""The answer to JupyterLab's first question: all its settings. Their schemas are read and checked once for all servers.

jupyterlab_server reads some seventy schemas and checks each against its own schema, for every page of every user: 60 ms
for which the page waits and does nothing. What is a user's own are the files in which he changed something.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyterlab_server import handlers
from jupyterlab_server.settings_handler import SettingsHandler
from jupyterlab_server.settings_utils import SETTINGS_EXTENSION, _get_overrides, _get_user_settings, get_settings
from jupyterlab_server.translation_utils import translator
from tornado.web import authenticated

from hubwright.engines.local import sharing


class Schemas:
    """The schemas of this environment, as an answer holds them."""

    def __init__(self, prefix: Path) -> None:
        self.schemas = str(prefix / "share/jupyter/lab/schemas")
        self.application = str(prefix / "share/jupyter/lab/settings")
        self.extensions = [str(sharing.OWN), str(prefix / "share/jupyter/labextensions")]
        self.overrides: dict[str, Any] = {}
        self.locale = ""
        self.entries: dict[str, str] = {}
        self.seen: tuple[int, ...] = ()

    def prepare(self, locale: str) -> None:
        """Read and check them; once, in the fork server. `locale` is the language that they are in."""
        self.locale, self.seen = locale, self._look()
        self.overrides, _ = _get_overrides(self.application)
        found, _ = get_settings(
            self.application,
            self.schemas,
            os.devnull,
            overrides=self.overrides,
            labextensions_path=self.extensions,
            translator=translator.translate_schema,
        )
        self.entries = {one["id"]: json.dumps(one) for one in found["settings"]}

    def hold(self, schemas: str, overrides: dict[str, Any] | None, extensions: Sequence[str]) -> bool:
        """Whether a server's schemas are these: the same folders, unchanged, and in no other folder is a schema."""
        others = [Path(folder) for folder in extensions if folder not in self.extensions]
        return (
            bool(self.entries)
            and (schemas, overrides) == (self.schemas, self.overrides)
            and not any(_below(folder, pattern) for folder in others for pattern in ("*/schemas", "@*/*/schemas"))
            and self._look() == self.seen
        )

    def answer(self, folder: Path) -> tuple[str, list[str]]:
        """Return the answer for a user whose changes lie in `folder`, and what of them was not taken, in words."""
        entries, warnings = self.entries, []
        for path in _below(folder, f"**/*{SETTINGS_EXTENSION}"):
            name = ":".join([str(path.parent.relative_to(folder)), path.name.removesuffix(SETTINGS_EXTENSION)])
            if name in self.entries:
                entry = json.loads(self.entries[name])
                found = _get_user_settings(str(folder), name, entry["schema"])
                if found["warning"]:
                    warnings.append(found.pop("warning"))
                    del entry["warning"]  # as there
                entries = entries | {name: json.dumps(entry | found)}
        return f'{{"settings": [{", ".join(entries.values())}]}}', warnings

    def _look(self) -> tuple[int, ...]:
        """When something was last added to the folders or taken away, in nanoseconds."""
        folders = [Path(self.schemas), *map(Path, self.extensions)]
        folders += [below for folder in folders for below in folder.glob("@*")]
        return tuple(folder.stat().st_mtime_ns for folder in folders if folder.exists())


def _below(folder: Path, pattern: str) -> list[Path]:
    """Return what a folder has by a pattern; nothing where its user may not look, as jupyterlab_server takes it."""
    try:
        return list(folder.glob(pattern))
    except PermissionError:
        return []


SCHEMAS = Schemas(Path(sys.prefix))


class KnownSettings(SettingsHandler):
    """`/lab/api/settings`, from what is known already where that is the same."""

    @authenticated
    def get(self, schema_name: str = "") -> Any:
        """Answer as SettingsHandler does."""
        whole = not schema_name and not self.get_argument("ids_only", "")
        if not whole or not SCHEMAS.hold(self.schemas_dir, self.overrides, self.labextensions_path or ()):
            return super().get(schema_name)
        locale = self.get_current_locale()
        if locale != SCHEMAS.locale:
            return super().get(schema_name)
        translator.set_locale(locale)
        text, warnings = SCHEMAS.answer(Path(self.settings_dir))
        for warning in warnings:
            self.log.warning(warning)
        return self.finish(text)


def prepare() -> None:
    """Read the schemas, and have servers answer from them; once, in the fork server."""
    from jupyterlab_server.translation_utils import DEFAULT_LOCALE, SYS_LOCALE, is_valid_locale

    SCHEMAS.prepare(SYS_LOCALE if is_valid_locale(SYS_LOCALE) else DEFAULT_LOCALE)
    handlers.SettingsHandler = KnownSettings  # type: ignore[attr-defined]
