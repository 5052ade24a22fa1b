"""From hub.yaml to a `Hub`, or to every mistake in it at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hubwright import envs
from hubwright.config.explain import explain
from hubwright.config.model import Hub
from hubwright.config.text import Told, read_text
from hubwright.config.tree import Keys, Tree, dotted, parse
from hubwright.content import config as content
from hubwright.errors import ConfigError, Problem
from hubwright.fields import shown
from hubwright.machine.policy import LIMITS
from hubwright.profiles.conflicts import conflicts

DEFAULT = Path("hub.yaml")
_LARGEST = 256 * 1024


@dataclass(frozen=True)
class Loaded:
    """A hub.yaml that holds, or the defaults."""

    hub: Hub
    path: Path | None
    """The file; None for the defaults."""
    lines: Mapping[Keys, int] = field(default_factory=dict, repr=False)

    def where(self, setting: str | Keys) -> str:
        """Return `hub.yaml:12 engine.memory` for `engine.memory`; the section's line when it stands nowhere.

        Keys in place of a text may hold names with dots.
        """
        keys = tuple(setting.split(".")) if isinstance(setting, str) else setting
        tree = Tree(str(self.path or DEFAULT), lines=dict(self.lines))
        return tree.where(keys) if self.path else f"{DEFAULT} {dotted(keys)}"

    def place(self, problem: Problem) -> Problem:
        """Return a kind's problem, whose `where` is `hub.yaml auth.service`, with file and line in it."""
        word, _, setting = problem.where.partition(" ")
        return replace(problem, where=self.where(setting)) if word == str(DEFAULT) and setting else problem


def load(path: Path | None = None) -> Loaded:
    """Read and check hub.yaml.

    Args:
        path: the file; None for `hub.yaml` in this folder, or the defaults when there is none.

    Raises:
        ConfigError: with every problem of the file; nothing else is ever raised for what a file holds.
    """
    if path is None:
        if not DEFAULT.exists() and not DEFAULT.is_symlink():
            return Loaded(Hub(), None)
        path = DEFAULT
    told: Told = {
        FileNotFoundError: ("there is no such file.", 'Make one with "hubwright init", or name another.'),
        IsADirectoryError: ("is a folder.", f'Name the file in it: "--config {path / DEFAULT}".'),
        PermissionError: ("may not be read by this account.", "Change its owner or its mode."),
    }
    tree = parse(read_text(path, _LARGEST, "hub.yaml", told), str(path))
    if tree.data is not None and not isinstance(tree.data, dict):
        what = f"must hold sections such as `hub:` and `auth:`, not {shown(tree.data)}."
        tree.problems.append(Problem(str(path), what))
        tree.data = None
    data = {key: _without_nothing(value) for key, value in (tree.data or {}).items() if value is not None}
    try:
        hub = Hub.model_validate(data)
    except ValidationError as error:
        tree.problems.extend(explain(error, data, tree))
    else:
        tree.problems.extend(Problem(tree.where(keys), what, remedy) for keys, what, remedy in _conflicts(hub))
    if tree.problems:
        raise ConfigError(sorted(tree.problems, key=lambda problem: _line(problem, path)))
    return Loaded(hub, path, tree.lines)


def _conflicts(hub: Hub) -> Iterator[tuple[Keys, str, str]]:
    """Yield what is right in each place and wrong together: the way to it, what it is, what to do."""
    for name, what, remedy in envs.conflicts(hub.environments):
        yield ("environments", name), what, remedy
    for name, what, remedy in content.conflicts(hub.content):
        yield ("content", name), what, remedy
    if hub.profiles is None:
        return
    for limit in LIMITS:
        if limit in getattr(hub.engine, "model_fields_set", ()) and getattr(hub.engine, limit, None) is not None:
            what = "cannot stand beside `profiles`, whose sizes say how much a server may take."
            yield ("engine", limit), what, "Leave it out here."
    for keys, what, remedy in conflicts(hub.profiles):
        yield ("profiles", *keys), what, remedy


def _line(problem: Problem, path: Path) -> int:
    digits = problem.where.removeprefix(f"{path}:").partition(" ")[0]
    return int(digits) if digits.isdecimal() else 0


def _without_nothing(value: Any) -> Any:
    """Drop keys with nothing after the colon: they are as if they were not there."""
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    return value
