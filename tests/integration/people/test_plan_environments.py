"""`hubwright plan` tells what is still to be built, and building is not apply's."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.root
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
environments:
  hwt-fresh: {kind: uv, packages: [numpy]}
"""


def test_an_environment_that_is_not_built_is_noted(service):
    """It is a note and no step: with nothing else to do, apply has nothing to do."""
    running = service(YAML)
    (running.folder / "hub.yaml").write_text(running.yaml)
    try:
        done = running.cli("plan", "--json")
        found = json.loads(done.stdout)
        assert found["steps"] == []
        assert found["notes"] == [
            'The environment hwt-fresh: is not built yet. "hubwright env build hwt-fresh" does it.'
        ]
        assert "hubwright env build hwt-fresh" in running.cli("plan").stdout
    finally:
        running.clean()
