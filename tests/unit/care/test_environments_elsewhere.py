"""What of the shared environments is said to have no effect where servers run in containers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.care import in_engine
from hubwright.config.load import load


@pytest.mark.parametrize(("engine", "told"), [("docker", ["hub.yaml environments.science.preload"]), ("local", [])])
def test_preloading_is_for_servers_without_containers(tmp_path, engine, told):
    path = tmp_path / "hub.yaml"
    entries = "{science: {kind: uv, packages: [numpy], preload: [numpy]}, plain: {kind: uv, packages: [numpy]}}"
    path.write_text(f"engine: {{kind: {engine}}}\nenvironments: {entries}\n")
    place = replace(site(), config=path, state=tmp_path, run=tmp_path)
    found = list(in_engine.elsewhere(load(path), place))
    assert [problem.where for problem in found] == told
    assert {problem.severity for problem in found} <= {"warning"}
