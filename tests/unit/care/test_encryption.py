"""What a plan says of the certificate that people's browsers see."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.certificates import make
from tests.unit.auth.test_auth_kinds import site

from hubwright.care.people.serving import encryption
from hubwright.config.load import load


@pytest.fixture
def told(tmp_path):
    def told(https, url="https://notebooks.example.org/"):
        file = tmp_path / "hub.yaml"
        file.write_text(f"hub: {{url: {url}}}\nhttps: {https}\n")
        place = replace(site(privileged=False), state=tmp_path, run=tmp_path, config=file, public_url=url)
        return encryption(load(file), place)

    return told


def test_a_certificate_in_use_is_told_with_its_end(told, tmp_path):
    pair = make("notebooks.example.org", "lab.example.org", days=40)
    (tmp_path / "tls.pem").write_bytes(pair.chain + pair.key)
    found = told("{kind: files, certificate: c.pem, key: k.pem}")
    assert (found.kind, found.names) == ("files", ("notebooks.example.org", "lab.example.org"))
    assert found.ends == f"{pair.until:%Y-%m-%d}"
    assert str(found).endswith(f"The certificate ends on {found.ends}.")


def test_one_that_is_not_there_yet_is_told_for_its_names(told):
    found = told("{kind: acme, email: a@example.org, names: [example.org]}")
    assert found.plain() == {"kind": "acme", "names": ["notebooks.example.org", "example.org"], "ends": None}
    assert "the next start brings it" in str(found)


def test_who_encrypts_instead_is_told(told):
    assert "by the proxy before it" in str(told("{kind: behind_proxy}"))
    assert "by nobody" in str(told("{kind: none}"))
