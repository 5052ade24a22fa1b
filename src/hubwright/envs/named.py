"""Files and folders that an entry names, from the folder of hub.yaml on."""

from __future__ import annotations

import os
from pathlib import Path

from hubwright.errors import ConfigError, Problem
from hubwright.fields import Site
from hubwright.machine.files import weak_component


def beside(site: Site, path: str) -> Path:
    """Return a path that is named from the folder of hub.yaml."""
    return (site.config.parent if site.config else Path.cwd()) / path


def read(site: Site, setting: str, path: str) -> str:
    """Return the text of the file that `setting` names.

    Raises:
        ConfigError: it cannot be read.
    """
    found = beside(site, path)
    try:
        return found.read_text()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError([Problem(setting, f"{found} cannot be read: {what}.")]) from error


def folder_problems(site: Site, setting: str, path: str) -> list[Problem]:
    """Return what keeps a folder from being taken packages from."""
    found = beside(site, path)
    try:
        with os.scandir(found):
            return others_may_change(site, setting, path)
    except (FileNotFoundError, NotADirectoryError):
        return [Problem(setting, f"{found} is no folder.")]
    except OSError as error:
        remedy = f"{site.account} must be able to read it: change its permissions, or name another folder."
        return [Problem(setting, f"{found} cannot be read: {error.strerror}.", remedy)]


def others_may_change(site: Site, setting: str, path: str) -> list[Problem]:
    """Return the problem that others than root could change what is named; none when the service is not root's."""
    if site.privileged and (weakness := weak_component(beside(site, path))):
        return [Problem(setting, f"{weakness}: whoever can change it decides what everybody runs.")]
    return []
