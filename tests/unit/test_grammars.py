"""What costs the hub and the fork server a second each when it is imported, and neither of them uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_STARTED = """
import json, sys
from hubwright import grammars
from hubwright.engines.local import __main__ as program
grammars.defer()
program.import_jupyterlab()
import hubwright.engines.local.forkserver, hubwright.hub.app
print(json.dumps(["rfc3987_syntax" in sys.modules, "lark" in sys.modules, "jupyterlab.labapp" in sys.modules]))
"""
_ASKED = """
import json, sys
from hubwright import grammars
grammars.defer()
import jsonschema
checker = jsonschema.FormatChecker()
told = [checker.conforms(text, kind) for kind in ("iri", "iri-reference") for text in ("http://å/", "a b")]
import rfc3987_syntax
print(json.dumps([told, "is_valid_syntax_iri" in vars(rfc3987_syntax)]))
"""


def _said(code: str, folder: Path) -> Any:
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_hub_and_fork_server_read_no_grammar_and_run_no_node(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    node.chmod(0o755)
    assert _said(_STARTED, tmp_path) == [False, False, True]
    assert not (tmp_path / "ran").exists()


def test_a_schema_that_asks_for_the_grammar_gets_it(tmp_path: Path) -> None:
    assert _said(_ASKED, tmp_path) == [[True, False, True, False], True]
