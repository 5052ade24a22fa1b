"""A YAML file as plain data, with the line of every key; whatever the file holds, it ends in data or in problems."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hubwright.errors import Problem
from hubwright.fields import shown

Keys = tuple[str | int, ...]
_DEEPEST = 32
_MOST = 20_000
"""Nodes, those repeated by aliases counted each time."""
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")


@dataclass
class Tree:
    """What a file holds: dicts, lists, texts, numbers, booleans and None only."""

    file: str
    data: Any = None
    lines: dict[Keys, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, keys: Keys) -> str:
        """Return `hub.yaml:12 engine.memory`; the line is that of the nearest key that stands in the file."""
        known = keys
        while known and known not in self.lines:
            known = known[:-1]
        line = f":{self.lines[known]}" if known in self.lines and keys else ""
        return f"{self.file}{line} {dotted(keys)}".rstrip()


def dotted(keys: Keys) -> str:
    """Return `hub.admins[0]` for the way to a value."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")[:200]


def parse(text: str, file: str) -> Tree:
    """Return the tree of a YAML text; what cannot be understood is in its `problems`."""
    tree = Tree(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root = YAML(typ="rt", pure=True).compose(text)
        if root is not None:
            tree.data = _Reader(tree).read(root, (), 0)
    except _TooMuch as error:
        tree.problems.append(Problem(file, str(error)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        tree.problems.append(Problem(f"{file}:{mark.line + 1}" if mark else file, *_syntax(error)))
    except (YAMLError, ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError) as error:
        # ruamel.yaml's scanner answers some malformed directives and escapes with these
        what = " ".join(str(error).split())[:200] or type(error).__name__
        tree.problems.append(Problem(file, f"is not YAML: {what}."))
    except RecursionError:
        tree.problems.append(Problem(file, f"is nested deeper than {_DEEPEST} levels."))
    return tree


class _TooMuch(Exception):
    """The file stands for more than any hub.yaml needs."""


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.seen = 0

    def read(self, node: Node, keys: Keys, depth: int) -> Any:
        self.seen += 1
        if depth > _DEEPEST:
            raise _TooMuch(f"is nested deeper than {_DEEPEST} levels.")
        if self.seen > _MOST:
            raise _TooMuch(f"holds more than {_MOST} values.")
        self.tree.lines.setdefault(keys, node.start_mark.line + 1)
        tag = str(node.tag).removeprefix(_TAG) if node.tag else ""
        match node:
            case MappingNode() if tag == "map":
                return self.mapping(node, keys, depth)
            case SequenceNode() if tag == "seq":
                return [self.read(item, (*keys, index), depth + 1) for index, item in enumerate(node.value)]
            case ScalarNode():
                return self.scalar(tag, str(node.value), keys)
            case _:
                return self.refuse(keys, f"has a tag that is not understood here: {shown(tag)}.")

    def mapping(self, node: MappingNode, keys: Keys, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode) or str(key_node.tag) == f"{_TAG}merge":
                self.refuse(keys, "has a key that is no plain word.", line)
                continue
            name = str(key_node.value)
            here = (*keys, name)
            if name in found:
                self.refuse(here, f"stands there twice, in line {self.tree.lines[here]} too. Keep one of them.", line)
                continue
            self.tree.lines[here] = line
            found[name] = self.read(value_node, here, depth + 1)
        return found

    def scalar(self, tag: str, text: str, keys: Keys) -> Any:
        match tag:
            case "str" | "timestamp":
                return text
            case "null":
                return None
            case "bool" if text.lower() in {"true", "yes", "on", "false", "no", "off"}:
                return text.lower() in {"true", "yes", "on"}
            case "int" if _INTEGER.fullmatch(text) and len(text) <= 40:
                digits = text.replace("_", "").lower()
                base = 8 if "0o" in digits else 16 if "0x" in digits else 10
                return int(digits, base)
            case "float" if (number := _float(text)) is not None:
                return number
            case "int" | "float" | "bool":
                return self.refuse(keys, f"is not a number that can be used: {shown(text)}.")
            case _:
                return self.refuse(keys, f"has a tag that is not understood here: {shown(tag)}.")

    def refuse(self, keys: Keys, what: str, line: int | None = None) -> None:
        where = self.tree.where(keys) if line is None else f"{self.tree.file}:{line} {dotted(keys)}".rstrip()
        self.tree.problems.append(Problem(where, what))


def _float(text: str) -> float | None:
    try:
        number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _syntax(error: MarkedYAMLError) -> tuple[str, str]:
    """Return what is wrong and what to do, for the mistakes that people make most."""
    told = " ".join(str(error.problem or error.context or error).split())
    if r"'\t'" in told:
        return "is indented with a tab, which YAML does not allow.", "Use spaces."
    if "single document" in str(error.context or "") + told:
        return "begins a second document.", 'Take the line "---" out.'
    if "mapping values are not allowed" in told:
        return (
            "has a colon where no key can stand.",
            "Put a text that holds a colon in quotes, and check the indentation.",
        )
    if "undefined alias" in told:
        return f"uses a name that is not defined: {told}.", "Put a text that begins with * in quotes."
    return f"is not YAML: {told[:200]}.", "Check indentation, quotes and brackets here and in the line before."
