"""A provider that is gone, or silent: the start tells of it, and goes on."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import replace

import pytest
from tests.running import port
from tests.unit.auth.test_auth_kinds import site

from hubwright.care.login import reach_soon
from hubwright.config.load import load

YAML = """\
hub: {{listen: "127.0.0.1:{{port}}"}}
auth: {{kind: oidc, issuer: "http://localhost:{provider}", client_id: hub}}
"""


@pytest.mark.root
def test_a_provider_that_is_gone_is_told_and_holds_no_start_up(service):
    running = service(YAML.format(provider=port()))
    try:
        (running.folder / "hub.yaml").write_text(running.yaml)
        command = running.command("secret", "oidc.secret")
        subprocess.run(command, input="x", capture_output=True, text=True, check=True, timeout=60)
        running.up()
        told = running.output().replace("\n", " ")
        assert "auth.issuer: does not answer" in told or "has not answered within 5 s" in told  # on a busy machine
    finally:
        running.clean()


def test_a_silent_provider_is_waited_for_shortly(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = tmp_path / "hub.yaml"
        path.write_text(YAML.format(provider=silent.getsockname()[1]).replace("{port}", "8000"))
        loaded = load(path)
        began = time.monotonic()
        (problem,) = reach_soon(loaded, replace(site(), state=tmp_path), 0.5)
    assert time.monotonic() - began < 5
    assert (problem.severity, "has not answered within 0.5 s" in problem.what) == ("warning", True)
