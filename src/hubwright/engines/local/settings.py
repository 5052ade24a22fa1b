"""Command lines of `--Class.trait=value` only, read without the parser that traitlets builds for any other.

traitlets looks at each trait of each class of an application, and makes an argparse parser with every flag and alias:
megabytes of copied pages in a server, again for each of its extensions, and in a kernel; for lines whose words are all
known. What a word means is still traitlets' own: `_convert_to_config` is private there, and a test compares both ways.
"""

from __future__ import annotations

import re
from argparse import Namespace
from copy import deepcopy
from typing import Any

from traitlets.config.application import Application
from traitlets.config.configurable import Configurable
from traitlets.config.loader import Config, DeferredConfigList, KVArgParseConfigLoader

_PLAIN = re.compile(r"--([A-Z]\w*\.[a-z]\w*)=(.*)", re.DOTALL | re.ASCII)
_DOT = "__DOT__"
_TRAITS: dict[type[Application], dict[str, tuple[Any, dict[str, Any]]]] = {}
"""What each application's command line can set: `Class.trait` -> the trait, as traitlets' loader wants it."""


def prepare(kind: type[Application]) -> None:
    """Note what an application's command line can set; once, in the fork server."""
    classes = dict.fromkeys(
        parent for one in (kind, *kind.classes) for parent in reversed(one.mro()) if issubclass(parent, Configurable)
    )
    _TRAITS[kind] = {
        f"{one.__name__}.{name}": (trait, {})
        for one in classes
        for name, trait in one.class_traits(config=True).items()
    }


def adopt(kind: type[Application]) -> None:
    """Have an application of somebody else's read its command line in this way; once, in the fork server."""
    theirs = kind.parse_command_line

    def parse_command_line(app: Application, argv: list[str] | None = None) -> None:
        if argv is None or not parse(app, argv):
            theirs(app, argv)

    kind.parse_command_line = parse_command_line


def parse(app: Application, argv: list[str]) -> bool:
    """Do what `Application.parse_command_line` does; False, with nothing done, when it is not prepared or not plain."""
    traits, words = _TRAITS.get(type(app)), _plain(argv)
    if words is None or (words and traits is None):
        return False
    app.argv = list(argv)
    app.extra_args = []
    if words:
        app.cli_config = deepcopy(_Loader(words, traits or {}).load_config())
        app.update_config(app.cli_config)
    return True


class _Loader(KVArgParseConfigLoader):
    """Turns names and their values into a Config."""

    def __init__(self, words: dict[str, list[str]], traits: dict[str, tuple[Any, dict[str, Any]]]) -> None:
        super().__init__(argv=[])
        self.words = words
        self.argparse_traits = traits

    def load_config(self, *_: Any, **__: Any) -> Config:
        """Return the settings."""
        self.clear()
        self.extra_args: list[str] = []
        found = {name.replace(".", _DOT): DeferredConfigList(values) for name, values in self.words.items()}
        self.parsed_data = Namespace(**found, _flags=[], extra_args=[])
        self._convert_to_config()
        return self.config


def _plain(argv: list[str]) -> dict[str, list[str]] | None:
    """Return each name's values in their order, None when a word is of another form."""
    words: dict[str, list[str]] = {}
    for word in argv:
        if not (found := _PLAIN.fullmatch(word)):
            return None
        words.setdefault(found[1], []).append(found[2])
    return words
