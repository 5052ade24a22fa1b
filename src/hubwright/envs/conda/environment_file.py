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
from hubwright.errors import ConfigError, Problem

_KNOWN = {"name", "prefix", "channels", "dependencies", "variables"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_LARGEST = 2**20


@dataclass(frozen=True)
class EnvironmentFile:
    """What one says."""

    channels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


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
    variables = _variables(data.get("variables"), wrong)
    if wrong:
        raise ConfigError([Problem("file", f"{path}: {one}.") for one in wrong])
    return EnvironmentFile(tuple(one for one in channels if one != "nodefaults"), packages, variables)


def _checked(data: dict[str, Any], key: str, check: Any, wrong: list[str]) -> list[str]:
    listed = data.get(key) or []
    if not isinstance(listed, list):
        wrong.append(f"`{key}` must be a list")
        return []
    found = []
    for one in listed:
        if isinstance(one, dict) and [*one] == ["pip"]:
            wrong.append(
                "packages of pip are not put into a conda environment, as nothing would keep the two apart: name their "
                "conda packages, or make an environment of kind uv"
            )
        elif not isinstance(one, str):
            wrong.append(f"`{key}` holds something that is no name: {str(one)[:60]}")
        else:
            try:
                found.append(check(one))
            except ValueError as error:
                wrong.append(f"`{key}` {str(error).rstrip('.')}")
    return found


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
