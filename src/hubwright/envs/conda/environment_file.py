"""`environment.yml`, as conda reads it: channels, dependencies, variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hubwright.envs.conda.config import check_channel, check_package
from hubwright.envs.config import check_requirement
from hubwright.errors import ConfigError, Problem

_KNOWN = {"name", "prefix", "channels", "dependencies", "variables"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_LARGEST = 2**20
_OPTION = re.compile(
    r"(?:-r|--requirement)[ =]*(?P<file>\S+)|(?:-f|--find-links)[ =]*(?P<folder>\S+)"
    r"|(?:-i|--index-url|--extra-index-url)[ =]*https?://\S+|--no-index"
)
"""What may stand below `pip` besides packages."""


@dataclass(frozen=True)
class EnvironmentFile:
    """What one says."""

    channels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    pip: tuple[str, ...] = ()
    """The lines below `pip`, as a file of requirements has them; folders are named whole."""
    pip_files: tuple[str, ...] = ()
    """The files of requirements that it names, from the folder of the environment file."""


def parse(text: str, path: Path) -> EnvironmentFile:
    """Return what an `environment.yml` says; `name` and `prefix` are conda's own business.

    Raises:
        ConfigError: every mistake in it.
    """
    wrong: list[str] = []
    try:
        data = YAML(typ="safe", pure=True).load(text) if len(text) <= _LARGEST else "too large"
    except YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" in line {line + 1}" if line is not None else ""
        raise ConfigError(
            [Problem("file", f"{path} is no YAML{place}: {getattr(error, 'problem', error)}.")]
        ) from error
    if not isinstance(data, dict):
        raise ConfigError([Problem("file", f"{path} is no environment file: it must have `dependencies`.")])
    wrong += [f"`{key}` is nothing that is understood" for key in data if key not in _KNOWN]
    channels = tuple(_checked(data, "channels", check_channel, wrong))
    packages = tuple(_checked(data, "dependencies", check_package, wrong))
    pip, pip_files = _pip(data.get("dependencies"), path.parent, wrong)
    variables = _variables(data.get("variables"), wrong)
    if wrong:
        raise ConfigError([Problem("file", f"{path}: {one}.") for one in wrong])
    kept = tuple(one for one in channels if one != "nodefaults")
    return EnvironmentFile(kept, packages, variables, pip, pip_files)


def _checked(data: dict[str, Any], key: str, check: Any, wrong: list[str]) -> list[str]:
    listed = data.get(key) or []
    if not isinstance(listed, list):
        wrong.append(f"`{key}` must be a list")
        return []
    found = []
    for one in listed:
        if key == "dependencies" and _is_pip(one):
            continue
        if not isinstance(one, str):
            wrong.append(f"`{key}` holds something that is no name: {str(one)[:60]}")
        else:
            try:
                found.append(check(one))
            except ValueError as error:
                wrong.append(f"`{key}` {str(error).rstrip('.')}")
    return found


def _is_pip(one: Any) -> bool:
    return isinstance(one, dict) and [*one] == ["pip"]


def _pip(listed: Any, folder: Path, wrong: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return lines, and files of lines, that stand below `pip`."""
    found: list[str] = []
    files: list[str] = []
    for below in (one["pip"] for one in listed if _is_pip(one)) if isinstance(listed, list) else ():
        if not isinstance(below, list):
            wrong.append("`pip` must be a list")
            continue
        for line in below:
            option = _OPTION.fullmatch(str(line))
            if option and option["file"]:
                files.append(option["file"])
            elif option and option["folder"]:
                place = option["folder"]
                found.append(f"--find-links {place if '://' in place else folder / place}")
            elif option:
                found.append(str(line))
            else:
                try:
                    found.append(check_requirement(str(line)))
                except ValueError as error:
                    wrong.append(f"`pip` {str(error).rstrip('.')}")
    return tuple(found), tuple(files)


def _variables(told: Any, wrong: list[str]) -> dict[str, str]:
    if told is None:
        return {}
    if not isinstance(told, dict):
        wrong.append("`variables` must be names with values")
        return {}
    wrong += [f"`variables` has no name for a variable: {str(name)[:60]}" for name in told if not _is_name(name)]
    return {str(name): str(value) for name, value in told.items()}


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(_VARIABLE.fullmatch(name))
