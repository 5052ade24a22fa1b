"""With `first_use`, who was taken out of hub.yaml is in until somebody removes him, and that is told."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
people: {users: [%s]}
"""


def test_who_is_taken_out_of_hub_yaml_is_named_until_removed(service, names):
    """By `check` and each start; who was never in hub.yaml, or is there, is not named."""
    stays, leaves, added = names
    running = service(YAML % f"{stays}, {leaves}")
    shorter = running.yaml.replace(f"{stays}, {leaves}", stays)
    told = f"does not name {leaves} any more"
    try:
        running.up()
        assert "any more" not in running.output()
        for name in (stays, leaves):
            running.cli("user", "link", name)
        running.cli("user", "add", added)
        running.down()
        running.yaml = shorter
        for again in (True, False):
            running.up()
            assert told in " ".join(running.output().split())
            found = " ".join(running.cli("check", "--json", check=False).stdout.split())
            assert told in found and f"hubwright user remove {leaves}" in found
            if again:  # it is told at every start
                running.down()
        running.cli("user", "remove", leaves, "--yes")
        assert "any more" not in running.cli("check", "--json", check=False).stdout
    finally:
        running.clean()
