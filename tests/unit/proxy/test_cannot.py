"""What JupyterHub can be told that this proxy cannot follow."""

import pytest

from hubwright import proxy


@pytest.mark.parametrize(
    ("setting", "value"), [("subdomain_host", "https://hub.example.org"), ("internal_ssl", True)]
)  # fmt: skip
def test_a_setting_that_would_leave_servers_out_of_reach_is_refused(setting, value):
    (found,) = proxy.check({"JupyterHub": {setting: value}, "Spawner": {}})
    assert found.severity == "error" and setting in str(found) and "docs/security.md" in str(found)
    for harmless in ({}, {"JupyterHub": {setting: type(value)()}}, {"Spawner": {setting: value}}):
        assert list(proxy.check(harmless)) == []
