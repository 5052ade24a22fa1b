"""Import jsonschema without the grammar of internationalized addresses, which takes a second of a processor.

For schemas that say `format: iri` jsonschema imports rfc3987-syntax, which makes some forty parsers meanwhile. The hub,
the fork server and a container's server import jsonschema, as jupyter_events does, and no schema of theirs says so.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_NAME = "rfc3987_syntax"


def defer() -> None:
    """Import jsonschema; the grammar is read when a schema asks for it first. Nothing happens where either is there."""
    if _NAME in sys.modules or "jsonschema" in sys.modules or find_spec(_NAME) is None:
        return
    stand_in = ModuleType(_NAME)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_NAME] = stand_in
    try:
        import_module("jsonschema")
    finally:
        del sys.modules[_NAME]  # whoever imports it gets the real one


def _is_valid_syntax(term: str, value: str) -> bool:
    found: bool = import_module(_NAME).is_valid_syntax(term, value)
    return found
