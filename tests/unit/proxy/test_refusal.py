"""What of Caddy's log is told of an authority's answers. The lines are Caddy 2.11's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hubwright.proxy.https.refusal import refusal

SINCE = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
URN = "urn:ietf:params:acme:error:"


def line(error: str, at: str = "2026-11-21T11:00:00Z", message: str = "could not get certificate from issuer") -> str:
    told = {"identifier": "hub.example.org", "issuer": "acme-v02.api.letsencrypt.org-directory", "error": error}
    return json.dumps({"level": "error", "ts": at, "logger": "tls.obtain", "msg": message, **told})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "caddy.log"


@pytest.mark.parametrize(
    ("kind", "status", "detail", "remedy"),
    [
        (
            "rateLimited",
            429,
            "too many failed authorizations (5) for hub.example.org, retry after 12:00",
            "Wait as long",
        ),
        ("dns", 400, "DNS problem: NXDOMAIN looking up A for hub.example.org", "The name must lead"),
        ("connection", 400, "192.0.2.7: Fetching http://hub.example.org/: Connection refused", "Ports 80 and 443"),
        (
            "unauthorized",
            403,
            "192.0.2.7: Invalid response from http://hub.example.org/: 404",
            "Something else answers",
        ),
        ("newKind", 400, "no\x1b[2J words\nfor it", "Caddy's log has more."),
    ],
)
def test_an_answer_is_an_error_with_what_to_do(log: Path, kind: str, status: int, detail: str, remedy: str) -> None:
    other = line("x", message="will retry")
    log.write_text("\n".join(["not JSON", line(f"HTTP {status} {URN}{kind} - {detail}"), other, '{"ts": 1}', "{"]))
    found = refusal(log, SINCE)
    assert found and found.severity == "error" and found.where == "hub.yaml https"
    assert f"no certificate for hub.example.org: {detail[:2]}" in found.what and f"({kind})" in found.what
    assert found.what.isprintable() and found.remedy.startswith(remedy)


def test_no_answer_is_a_warning_and_an_older_one_none(log: Path) -> None:
    assert refusal(log, SINCE) is None
    log.write_text(line(f"HTTP 400 {URN}dns - x", "2026-11-21T10:59:59Z"))
    assert refusal(log, SINCE) is None
    with log.open("a") as file:
        file.write("\n" + line('Get "https://acme/": dial tcp 192.0.2.1:443: connect: connection refused'))
    found = refusal(log, SINCE)
    assert found and found.severity == "warning" and "cannot be asked" in found.what
